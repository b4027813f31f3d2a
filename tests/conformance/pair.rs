//! The two directors side by side: a case is played to both in lockstep.

use std::collections::HashSet;
use std::fmt::{Display, Write as _};
use std::thread;
use std::time::{Duration, Instant};

use lb_core::wire::show::show;

use crate::answering::answers;
use crate::case::{Action, Case, Family, Input, Step};
use crate::director::Director;
use crate::kernel::{self, Answer, Kernel};
use crate::lab::Lab;
use crate::network::Left;
use crate::normal;
use crate::sluice;
use crate::wires::{Wires, hex};

/// The listings that `list` compares.
const LISTINGS: [&str; 5] =
    ["-Ln", "-Ln --persistent-conn", "-Ln --thresholds", "-Lnc", "-L --timeout"];
const STATISTICS: &str = "-Ln --stats --exact";
/// After so long the kernel has summed up what its processors counted, in seconds.
const SUM_S: &str = "2.1";
/// The same.
const SUM: Duration = Duration::from_millis(2100);
/// Commands that remember, as zero, what the kernel has summed up so far. What it has not would
/// come back afterwards.
const SUMMED_UP_FIRST: [&str; 3] = ["-D", "-C", "-Z"];

/// The pair.
#[derive(Debug)]
pub(crate) struct Pair<'lab> {
    lab: &'lab Lab,
    kernel: Kernel,
    kernel_wires: Wires,
    director: Option<Director<'lab>>,
    sluice_wires: Wires,
    /// Nothing is compared: somebody wants to see what the kernel does.
    is_looking: bool,
}

/// The first place where the two differ.
#[derive(Debug)]
pub(crate) struct Fault {
    /// Of the step; the number of steps where it is at the end.
    pub(crate) step: usize,
    /// The line and both sides.
    pub(crate) about: String,
}

/// What a case came to.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) fault: Option<Fault>,
    /// All that was done and came of it.
    pub(crate) log: String,
    /// Frames that came in.
    pub(crate) frames: usize,
    pub(crate) took: Duration,
}

/// A case on its way.
struct Play {
    /// What the last step with frames put in, and what left the kernel because of it.
    exchanged: Vec<(Input, Vec<Left>)>,
    /// Ports of GUE tunnels.
    tunnel_ports: HashSet<u16>,
    log: String,
    frames: usize,
}

impl Play {
    fn note_refusal(&mut self, kernel: &Answer) {
        if kernel.code != 0 {
            let _infallible = writeln!(self.log, "     ! {}", kernel.text.trim_end());
        }
    }
}

impl<'lab> Pair<'lab> {
    /// Boots one and starts the other.
    pub(crate) fn new(lab: &'lab Lab) -> Self {
        let kernel = Kernel::boot(lab);
        sluice::make_wires(lab);
        let director = Some(sluice::start(lab));
        let kernel_wires = Wires::new(lab, kernel::HOST);
        let sluice_wires = Wires::new(lab, sluice::HOST);
        let is_looking = std::env::var_os("LOOK").is_some();
        Self { lab, kernel, kernel_wires, director, sluice_wires, is_looking }
    }

    /// Plays a case, and makes both forget it. `is_thorough`: the statistics are compared at the
    /// end, too.
    pub(crate) fn play(&mut self, case: &Case, is_thorough: bool) -> Outcome {
        let begin = Instant::now();
        let mut play = Play {
            exchanged: Vec::new(),
            tunnel_ports: tunnel_ports(case),
            log: String::new(),
            frames: 0,
        };
        let mut fault = None;
        for (number, step) in case.steps.iter().enumerate() {
            let _infallible = writeln!(play.log, "{:4} {}", step.number, step.line);
            if let Err(about) = self.step(&mut play, step) {
                let about = format!("line {}: {}\n{about}", step.number, step.line);
                fault = Some(Fault { step: number, about });
                break;
            }
        }
        let at_end = |about| Fault { step: case.steps.len(), about: format!("end:\n{about}") };
        if fault.is_none() || self.is_looking {
            fault = self.list(&mut play).err().map(at_end);
        }
        // Whatever came of it, both have to forget.
        let ended = self.end(is_thorough && fault.is_none() && !self.is_looking);
        fault = fault.or_else(|| ended.err().map(at_end)).filter(|_| !self.is_looking);
        if self.is_looking {
            println!("{}", play.log);
        }
        let Play { log, frames, .. } = play;
        Outcome { fault, log, frames, took: begin.elapsed() }
    }

    fn step(&mut self, play: &mut Play, step: &Step) -> Result<(), String> {
        let brings_frames = |action: &Action| matches!(action, Action::Frame(_));
        if step.actions.first().is_some_and(brings_frames) {
            play.exchanged.clear();
        }
        // All of the step is done on both sides, also where it differs on purpose.
        let mut first = None;
        for action in &step.actions {
            let difference = self.act(play, action).err().filter(|_| !self.is_looking);
            first = first.or(difference);
        }
        match (&step.differs, first) {
            (None, Some(about)) => Err(about),
            (Some(key), None) if !self.is_looking => {
                Err(format!("    does not differ, in spite of `{key}`\n"))
            }
            (_, about) => {
                play.log += &about.unwrap_or_default();
                Ok(())
            }
        }
    }

    fn act(&mut self, play: &mut Play, action: &Action) -> Result<(), String> {
        match action {
            Action::Ipvs(line) => {
                let quoted: Vec<_> = line.split_whitespace().map(|w| format!("'{w}'")).collect();
                let inside = format!("ipvsadm {}", quoted.join(" "));
                if SUMMED_UP_FIRST.iter().any(|command| line.starts_with(command)) {
                    thread::sleep(SUM);
                }
                let (kernel, sluice) = self.command(&inside, "sluiceadm", line);
                play.note_refusal(&kernel);
                same("what they said", &said(&kernel), &said(&sluice))
            }
            Action::Set(name, value) => {
                let inside = format!("sysctl -qw net.ipv4.vs.{name}={value}");
                let line = format!("set {name} {value}");
                let (kernel, sluice) = self.command(&inside, "sluicectl", &line);
                play.note_refusal(&kernel);
                agree(&kernel, &sluice)
            }
            Action::Mark(family, rule) => {
                let (program, words) = match family {
                    Family::V4 => ("iptables-legacy", "marks"),
                    Family::V6 => ("ip6tables-legacy", "marks -6"),
                };
                let inside = format!("{program} -t mangle {rule}");
                let line = format!("{words} {rule}");
                let (kernel, sluice) = self.command(&inside, "sluicectl", &line);
                play.note_refusal(&kernel);
                agree(&kernel, &sluice)
            }
            Action::Frame(input) => self.frame(play, input),
            Action::Reply(words) => {
                let exchanged = std::mem::take(&mut play.exchanged);
                self.answer(play, &exchanged, words)
            }
            Action::Answer(words) => {
                let last: Vec<_> = play.exchanged.last().cloned().into_iter().collect();
                self.answer(play, &last, words)
            }
            Action::Wait(milliseconds) => {
                thread::sleep(Duration::from_millis(*milliseconds));
                Ok(())
            }
            Action::List => self.list(play),
            Action::Stats => {
                self.kernel.begin(&format!("sleep {SUM_S}; ipvsadm {STATISTICS}"));
                let kernel = self.kernel.finish();
                let sluice = sluice::ask(self.running(), "sluiceadm", STATISTICS);
                compare_listing(STATISTICS, &kernel, &sluice)
            }
        }
    }

    /// Has both do something: what each answered.
    fn command(&mut self, inside: &str, program: &str, line: &str) -> (Answer, Answer) {
        self.kernel.begin(inside);
        let sluice = sluice::ask(self.running(), program, line);
        (self.kernel.finish(), sluice)
    }

    fn running(&self) -> &Director<'lab> {
        self.director.as_ref().expect("only away between cases")
    }

    fn frame(&mut self, play: &mut Play, input: &Input) -> Result<(), String> {
        self.kernel_wires.begin(&input.wire, &input.frame);
        self.sluice_wires.begin(&input.wire, &input.frame);
        let (kernel, sluice) = (self.kernel_wires.finish(), self.sluice_wires.finish());
        let kernel = kernel.map_err(|why| format!("    the kernel {why}\n"))?;
        let sluice = sluice.map_err(|why| format!("    sluiced {why}\n"))?;
        let kernel = normal::frames(kernel, &play.tunnel_ports);
        let sluice = normal::frames(sluice, &play.tunnel_ports);
        play.frames += 1;
        let _infallible = writeln!(play.log, "     > {} {}", input.wire, show(&input.frame));
        for (wire, frame) in &kernel {
            let _infallible = writeln!(play.log, "     < {wire} {}", show(frame));
        }
        let result = if kernel == sluice {
            Ok(())
        } else {
            let what = format!("what left because of\n    {} {}", input.wire, show(&input.frame));
            Err(both_sides(&what, &shown(&kernel), &shown(&sluice)))
        };
        play.exchanged.push((input.clone(), kernel));
        result
    }

    /// Servers answer what they got.
    fn answer(
        &mut self,
        play: &mut Play,
        got: &[(Input, Vec<Left>)],
        words: &str,
    ) -> Result<(), String> {
        got.iter()
            .flat_map(|(input, left)| answers(&input.frame, left, words))
            .try_for_each(|input| self.frame(play, &input))
    }

    fn list(&mut self, play: &mut Play) -> Result<(), String> {
        let inside: Vec<_> =
            LISTINGS.iter().map(|words| format!("ipvsadm {words}; echo ==")).collect();
        self.kernel.begin(&inside.join("; "));
        let director = self.running();
        let sluice: Vec<_> =
            LISTINGS.iter().map(|words| sluice::ask(director, "sluiceadm", words)).collect();
        let Answer { code, text } = self.kernel.finish();
        play.log += &text;
        for ((words, text), sluice) in LISTINGS.iter().zip(text.split("==\n")).zip(&sluice) {
            compare_listing(words, &Answer { code, text: text.to_owned() }, sluice)?;
        }
        Ok(())
    }

    /// Compares what is left to compare, then makes both forget all. The director is started anew
    /// while the kernel sums up.
    fn end(&mut self, is_thorough: bool) -> Result<(), String> {
        if is_thorough {
            self.kernel.begin(&format!("sleep {SUM_S}; ipvsadm {STATISTICS}"));
        }
        let sluice = sluice::ask(self.running(), "sluiceadm", STATISTICS);
        drop(self.director.take());
        self.director = Some(sluice::start(self.lab));
        let result = if is_thorough {
            compare_listing(STATISTICS, &self.kernel.finish(), &sluice)
        } else {
            Ok(())
        };
        self.kernel.reset();
        result
    }
}

/// Ports that the case's GUE tunnels go to.
fn tunnel_ports(case: &Case) -> HashSet<u16> {
    let lines = case.lines();
    let port = |line: &String| {
        line.split_once("--tun-port ")?.1.split_whitespace().next()?.parse::<u16>().ok()
    };
    lines.iter().filter_map(port).collect()
}

/// Whether both did it, or neither.
fn agree(kernel: &Answer, sluice: &Answer) -> Result<(), String> {
    if (kernel.code == 0) == (sluice.code == 0) {
        return Ok(());
    }
    Err(both_sides("whether it was done", &said(kernel), &said(sluice)))
}

fn said(answer: &Answer) -> Vec<String> {
    let lines = answer.text.lines().map(|line| line.trim_end().to_owned());
    std::iter::once(format!("exit {}", answer.code)).chain(lines).collect()
}

fn same(what: &str, kernel: &[String], sluice: &[String]) -> Result<(), String> {
    if kernel == sluice { Ok(()) } else { Err(both_sides(what, kernel, sluice)) }
}

fn compare_listing(words: &str, kernel: &Answer, sluice: &Answer) -> Result<(), String> {
    let mut kernel = normal::listing(&kernel.text);
    let mut sluice = normal::listing(&sluice.text);
    normal::leave_out_ending(&mut kernel, &mut sluice);
    if kernel == sluice {
        return Ok(());
    }
    Err(both_sides(&format!("ipvsadm {words}"), &kernel, &sluice))
}

fn shown(frames: &[Left]) -> Vec<String> {
    frames
        .iter()
        .map(|(wire, frame)| format!("{wire} {}\n        {}", show(frame), hex(frame)))
        .collect()
}

/// Both sides, with a mark at the first line that differs.
fn both_sides<T: Display + PartialEq>(what: &str, kernel: &[T], sluice: &[T]) -> String {
    let mut text = format!("    {what}\n");
    let first = kernel.iter().zip(sluice).take_while(|(a, b)| a == b).count();
    for (who, lines) in [("kernel", kernel), ("sluice", sluice)] {
        for (number, line) in lines.iter().enumerate() {
            let mark = if number == first { '*' } else { ' ' };
            let _infallible = writeln!(text, "  {mark} {who} {line}");
        }
        if lines.len() <= first {
            let _infallible =
                writeln!(text, "  * {who} nothing{}", if lines.is_empty() { "" } else { " more" });
        }
    }
    text
}
