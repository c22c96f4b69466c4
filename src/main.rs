//! The `dejavm` command.

fn main() -> std::process::ExitCode {
    dejavm::cli::main()
}
