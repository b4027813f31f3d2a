//! `sluicectl top`: the director, live, on a terminal.
//!
//! A thread asks the director; this one draws and hears keys, so that a director that does not
//! answer leaves the keys alive. Where there is no terminal that can be drawn on, the same screen
//! is printed as text, again and again.

pub mod hangup;
pub mod rows;
pub mod sample;
pub mod screen;
pub mod state;

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{self, Event, KeyEventKind};
use ratatui::crossterm::terminal::size;
use signal_hook::consts::{SIGHUP, SIGTERM};

use crate::control::grammar::TopWords;
use sample::Sample;
use screen::{Look, draw};
use state::{State, Wish};

/// How long keys are waited for before news are looked for.
const GLANCE: Duration = Duration::from_millis(50);
/// The screen where there is none.
const PAGE: (u16, u16) = (100, 40);

/// Runs until a key or a signal ends it, or after as many screens as the words say.
pub fn run(socket: PathBuf, words: &TopWords) -> ExitCode {
    let is_terminal = io::stdout().is_terminal() && io::stdin().is_terminal();
    let term = std::env::var("TERM").unwrap_or_default();
    let news = match ask(socket, words.interval) {
        Ok(news) => news,
        Err(problem) => return failed(&problem),
    };
    let done = if words.batch || !is_terminal || term == "dumb" || term.is_empty() {
        print(&news, words.count)
    } else {
        show(&news, look(&term), words.count)
    };
    match done {
        Ok(code) => code,
        Err(problem) if problem.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(problem) => failed(&problem),
    }
}

fn failed(problem: &io::Error) -> ExitCode {
    say(&format!("sluicectl: top: {problem}"));
    ExitCode::from(2)
}

/// Unlike `eprintln!` it ends nothing where there is no terminal any more.
fn say(text: &str) {
    let _nobody_to_tell = writeln!(io::stderr(), "{text}");
}

/// What the terminal can show, as its environment says.
fn look(term: &str) -> Look {
    let value = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let locale = value("LC_ALL").or_else(|| value("LC_CTYPE")).or_else(|| value("LANG"));
    let is_utf8 = locale.is_some_and(|it| it.to_lowercase().replace('-', "").contains("utf8"));
    Look {
        has_colour: value("NO_COLOR").is_none() && !term.ends_with("-m") && term != "vt100",
        // The console's font has no blocks of every kind.
        has_blocks: is_utf8 && term != "linux",
    }
}

/// Asks again and again, on a thread of its own.
fn ask(socket: PathBuf, interval: Duration) -> io::Result<Receiver<Result<Sample, String>>> {
    let (say, news) = sync_channel(1);
    thread::Builder::new().name("asker".to_owned()).spawn(move || {
        let socket: &Path = &socket;
        // Nobody hears it any more: the end.
        while say.send(Sample::take(socket)).is_ok() {
            thread::sleep(interval);
        }
    })?;
    Ok(news)
}

/// Draws on the terminal.
fn show(
    news: &Receiver<Result<Sample, String>>,
    look: Look,
    count: Option<u64>,
) -> io::Result<ExitCode> {
    let is_over = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&is_over))?;
    }
    hangup::watch()?;
    // Gives the terminal back also where this panics.
    let mut terminal = ratatui::try_init()?;
    let done = draw_on(&mut terminal, news, look, count, &is_over);
    ratatui::restore();
    done.map(|()| ExitCode::SUCCESS)
}

fn draw_on(
    terminal: &mut ratatui::DefaultTerminal,
    news: &Receiver<Result<Sample, String>>,
    look: Look,
    count: Option<u64>,
    is_over: &AtomicBool,
) -> io::Result<()> {
    let mut state = State::default();
    let mut shown = 0;
    let mut is_changed = true;
    while !is_over.load(Ordering::Relaxed) && count.is_none_or(|count| shown < count) {
        if let Ok(said) = news.try_recv() {
            state.take(said);
            shown += 1;
            is_changed = true;
        }
        if is_changed {
            terminal.draw(|frame| draw(frame, &state, look))?;
        }
        is_changed = event::poll(GLANCE)?;
        if is_changed
            && let Event::Key(key) = event::read()?
            && key.kind != KeyEventKind::Release
            && state.press(key) == Wish::Quit
        {
            break;
        }
    }
    Ok(())
}

/// Prints screens as text, without a terminal.
fn print(news: &Receiver<Result<Sample, String>>, count: Option<u64>) -> io::Result<ExitCode> {
    let mut state = State::default();
    let mut out = io::stdout().lock();
    let mut shown = 0;
    while count.is_none_or(|count| shown < count) {
        let said = match news.recv_timeout(Duration::from_secs(30)) {
            Ok(said) => said,
            Err(RecvTimeoutError::Timeout) => Err("the director does not answer".to_owned()),
            Err(RecvTimeoutError::Disconnected) => return Ok(ExitCode::FAILURE),
        };
        if let Err(problem) = &said {
            say(problem);
            return Ok(ExitCode::from(2));
        }
        state.take(said);
        shown += 1;
        // Rates are known from the second one on.
        if shown > 1 || count == Some(1) {
            out.write_all(page(&state).as_bytes())?;
            out.flush()?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The screen as text.
fn page(state: &State) -> String {
    let (width, height) = if io::stdout().is_terminal() { size().unwrap_or(PAGE) } else { PAGE };
    let Ok(mut terminal) = Terminal::new(TestBackend::new(width, height));
    let look = Look { has_colour: false, has_blocks: false };
    // A buffer in memory takes everything.
    let _ = terminal.draw(|frame| draw(frame, state, look));
    let cells = terminal.backend().buffer().content();
    let lines = cells.chunks(usize::from(width.max(1))).map(|line| {
        let line: String = line.iter().map(|cell| cell.symbol()).collect();
        line.trim_end().to_owned()
    });
    // The keys, and the empty part of the list, mean nothing on paper.
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with("q quit"));
    lines.map(|line| line + "\n").chain(["\n".to_owned()]).collect()
}
