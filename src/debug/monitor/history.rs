//! Moving: seek, back and forward, checkpoints.

use super::{Call, Failure, Monitor};
use crate::debug::expr::number;
use crate::machine::board::Board;

/// Places that `back` remembers.
const PLACES: usize = 1000;

/// Where the user was, as a browser keeps it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    steps: Vec<u64>,
    /// The place where the user is.
    at: usize,
}

impl Places {
    /// The user is at this step. What lay before a `back` is forgotten.
    pub fn visited(&mut self, icount: u64) {
        if self.steps.get(self.at) == Some(&icount) {
            return;
        }
        self.steps.truncate(self.at + 1);
        if self.steps.len() == PLACES {
            self.steps.remove(0);
        }
        self.steps.push(icount);
        self.at = self.steps.len() - 1;
    }

    /// The step before this place.
    pub fn back(&mut self) -> Option<u64> {
        self.at = self.at.checked_sub(1)?;
        self.steps.get(self.at).copied()
    }

    /// The step after this place.
    pub fn forward(&mut self) -> Option<u64> {
        let step = *self.steps.get(self.at + 1)?;
        self.at += 1;
        Some(step)
    }
}

/// A step that the user wants to come back to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    number: u64,
    name: Option<String>,
    icount: u64,
}

impl Monitor {
    /// Goes to a step, shows where that is and remembers it.
    pub(super) fn go<B: Board>(&mut self, call: &mut Call<'_, B>, icount: u64) -> Result<(), Failure> {
        call.seek(icount)?;
        self.places.visited(call.timeline.icount());
        self.show(call);
        Ok(())
    }

    pub(super) fn seek<B: Board>(&mut self, call: &mut Call<'_, B>) -> Result<(), Failure> {
        let &[text] = call.args else { return Err(Failure::Usage) };
        let (here, end) = (call.timeline.icount(), call.timeline.end());
        let endless = || Failure::Text("a branch has no end".to_owned());
        let target = match text {
            "start" => 0,
            "end" if call.timeline.branched() => return Err(endless()),
            "end" => end,
            _ => {
                if let Some(percent) = text.strip_suffix('%') {
                    let plain = percent.bytes().all(|b| b.is_ascii_digit() || b == b'.');
                    let percent = percent.parse::<f64>().ok().filter(|p| plain && (0.0..=100.0).contains(p));
                    let percent = percent.ok_or(Failure::Usage)?;
                    if call.timeline.branched() {
                        return Err(endless());
                    }
                    ((end as f64 * percent / 100.0) as u64).min(end)
                } else if let Some(steps) = text.strip_prefix('+') {
                    here.saturating_add(number(steps).ok_or(Failure::Usage)?)
                } else if let Some(steps) = text.strip_prefix('-') {
                    here.saturating_sub(number(steps).ok_or(Failure::Usage)?)
                } else {
                    number(text).ok_or(Failure::Usage)?
                }
            }
        };
        if target > end {
            call.say(format!("the recording ends at step {end}"));
        }
        self.go(call, target)
    }

    pub(super) fn back<B: Board>(&mut self, call: &mut Call<'_, B>) -> Result<(), Failure> {
        self.travel(call, Places::back, "there is nothing to go back to")
    }

    pub(super) fn forward<B: Board>(&mut self, call: &mut Call<'_, B>) -> Result<(), Failure> {
        self.travel(call, Places::forward, "there is nothing to go forward to")
    }

    fn travel<B: Board>(
        &mut self,
        call: &mut Call<'_, B>,
        to: fn(&mut Places) -> Option<u64>,
        nothing: &str,
    ) -> Result<(), Failure> {
        if !call.args.is_empty() {
            return Err(Failure::Usage);
        }
        match to(&mut self.places) {
            Some(icount) => {
                call.seek(icount)?;
                self.show(call);
            }
            None => call.say(nothing),
        }
        Ok(())
    }

    pub(super) fn checkpoint<B: Board>(&mut self, call: &mut Call<'_, B>) -> Result<(), Failure> {
        let name = match call.args {
            [] => None,
            [name] => Some((*name).to_owned()),
            _ => return Err(Failure::Usage),
        };
        if let Some(name) = &name
            && (number(name).is_some() || self.checkpoints.iter().any(|c| c.name.as_ref() == Some(name)))
        {
            return Err(Failure::Text(format!("'{name}' is taken, or a number")));
        }
        call.timeline.plant();
        self.next += 1;
        let checkpoint = Checkpoint { number: self.next, name, icount: call.timeline.icount() };
        call.say(line(&checkpoint));
        self.checkpoints.push(checkpoint);
        Ok(())
    }

    pub(super) fn info_checkpoints<B: Board>(&mut self, call: &mut Call<'_, B>) -> Result<(), Failure> {
        if !call.args.is_empty() {
            return Err(Failure::Usage);
        }
        if self.checkpoints.is_empty() {
            call.say("no checkpoints");
        }
        for checkpoint in &self.checkpoints {
            call.say(line(checkpoint));
        }
        Ok(())
    }

    fn find_checkpoint(&self, args: &[&str]) -> Result<usize, Failure> {
        let &[wanted] = args else { return Err(Failure::Usage) };
        let is = |c: &Checkpoint| c.name.as_deref() == Some(wanted) || number(wanted) == Some(c.number);
        let found = self.checkpoints.iter().position(is);
        found.ok_or_else(|| Failure::Text(format!("there is no checkpoint '{wanted}'")))
    }

    pub(super) fn restart<B: Board>(&mut self, call: &mut Call<'_, B>) -> Result<(), Failure> {
        let icount = self.checkpoints[self.find_checkpoint(call.args)?].icount;
        self.go(call, icount)
    }

    pub(super) fn delete_checkpoint<B: Board>(&mut self, call: &mut Call<'_, B>) -> Result<(), Failure> {
        let gone = self.checkpoints.remove(self.find_checkpoint(call.args)?);
        call.say(format!("forgotten: {}", line(&gone)));
        Ok(())
    }
}

fn line(c: &Checkpoint) -> String {
    let name = c.name.as_ref().map_or_else(String::new, |n| format!(" {n}"));
    format!("checkpoint {}{name} at step {}", c.number, c.icount)
}
