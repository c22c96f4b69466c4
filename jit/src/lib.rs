//! The block compiler for x86-64 hosts.
