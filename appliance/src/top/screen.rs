//! The screen: what is full, how busy workers are, a list, what is dropped, the keys.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::rows::{Column, Mood, Pace, Row, View, arrange, drop_rows, short};
use super::sample::{Sample, Worker};
use super::state::State;

/// Workers that have a line each; of more there is one line.
const WORKERS_SHOWN: usize = 4;
/// Reasons of drops beside the list.
const DROPS_SHOWN: usize = 4;
/// Columns of a bar.
const BAR: usize = 20;

/// What the terminal can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    pub has_colour: bool,
    /// Block characters, for bars.
    pub has_blocks: bool,
}

impl Look {
    fn colour(self, colour: Color) -> Style {
        if self.has_colour { Style::default().fg(colour) } else { Style::default() }
    }

    fn bar(self, part: f64) -> String {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to BAR")]
        let filled = (part.clamp(0.0, 1.0) * BAR as f64).round() as usize;
        let (full, empty) = if self.has_blocks { ("█", "░") } else { ("#", "-") };
        format!("{}{}", full.repeat(filled), empty.repeat(BAR - filled))
    }

    fn mood(self, mood: Mood) -> Style {
        match mood {
            Mood::Plain => Style::default(),
            Mood::Quiet => self.colour(Color::Yellow),
            Mood::Bad => self.colour(Color::Red),
        }
    }
}

/// Draws everything.
pub fn draw(frame: &mut Frame<'_>, state: &State, look: Look) {
    let head = head(state, look);
    let drops = drops(state, look);
    let length = |lines: &[Line<'_>]| Constraint::Length(u16::try_from(lines.len()).unwrap_or(0));
    let areas = Layout::vertical([
        length(&head),
        Constraint::Min(3),
        length(&drops),
        Constraint::Length(1),
    ]);
    let [at_head, at_list, at_drops, at_keys] = areas.areas(frame.area());
    frame.render_widget(Paragraph::new(head), at_head);
    draw_list(frame, at_list, state, look);
    frame.render_widget(Paragraph::new(drops), at_drops);
    frame.render_widget(keys(state), at_keys);
}

fn head<'a>(state: &State, look: Look) -> Vec<Line<'a>> {
    let mut lines = Vec::new();
    if let Some(problem) = &state.problem {
        let first = problem.lines().next().unwrap_or_default().to_owned();
        lines.push(Line::styled(first, look.colour(Color::Red).add_modifier(Modifier::BOLD)));
    }
    let Some(now) = &state.now else {
        if state.problem.is_none() {
            lines.push(Line::raw("asking the director ..."));
        }
        return lines;
    };
    let status = &now.status;
    let (days, seconds) = (status.uptime_s / 86_400, status.uptime_s % 86_400);
    let filter = match state.filter.as_str() {
        "" => String::new(),
        filter => format!("  filter: {filter}"),
    };
    let paused = if state.is_paused { "  PAUSED" } else { "" };
    lines.push(Line::styled(
        format!(
            "sluiced {}  up {days} d {:02}:{:02}:{:02}  {} services{filter}{paused}",
            status.version,
            seconds / 3600,
            seconds / 60 % 60,
            seconds % 60,
            now.services.len()
        ),
        Style::default().add_modifier(Modifier::BOLD),
    ));
    lines.push(fullness("connections", status.flows, status.flows_max, look));
    lines.push(fullness("real servers", status.real_servers, status.real_servers_max, look));
    lines.extend(workers(state.before.as_ref(), now, look));
    lines
}

#[expect(clippy::cast_precision_loss, reason = "for eyes")]
fn fullness<'a>(name: &str, used: u64, most: u64, look: Look) -> Line<'a> {
    let part = used as f64 / most.max(1) as f64;
    let colour = match part {
        part if part >= 0.95 => Color::Red,
        part if part >= 0.8 => Color::Yellow,
        _ => Color::Green,
    };
    Line::from(vec![
        Span::raw(format!("{name:<14}")),
        Span::styled(look.bar(part), look.colour(colour)),
        Span::raw(format!(" {:>3.0} %  {used} of {most}", 100.0 * part)),
    ])
}

/// The part of its time that a worker had work, since `old`.
#[expect(clippy::cast_precision_loss, reason = "for eyes")]
fn busy(now: &Worker, old: Option<&Worker>) -> f64 {
    let since = |of: fn(&Worker) -> u64| of(now).saturating_sub(old.map_or(0, of)) as f64;
    let (busy, idle) = (since(|it| it.busy_cycles), since(|it| it.idle_cycles));
    busy / (busy + idle).max(1.0)
}

/// Workers with their load.
fn workers<'a>(before: Option<&Sample>, now: &Sample, look: Look) -> Vec<Line<'a>> {
    let pace = Pace::between(before, now);
    let old = |index: usize| before.and_then(|before| before.status.workers.get(index));
    let workers = now.status.workers.iter().enumerate();
    let loads: Vec<_> = workers
        .map(|(index, it)| Load {
            worker: it,
            busy: busy(it, old(index)),
            received: pace.rate(it.received, old(index).map(|old| old.received)),
            dropped: pace.rate(it.dropped, old(index).map(|old| old.dropped)),
        })
        .collect();
    if loads.len() > WORKERS_SHOWN {
        return vec![all_workers(&loads)];
    }
    let line = |Load { worker, busy, received, dropped }: &Load<'_>| {
        Line::from(vec![
            Span::raw(format!("{:<14}", format!("lcore {} cpu {}", worker.worker, worker.cpu))),
            Span::styled(look.bar(*busy), look.colour(Color::Cyan)),
            Span::raw(format!(" {:>3.0} % busy", 100.0 * busy)),
            Span::raw(format!(" {:>6} pkt/s in", short(*received))),
            Span::raw(format!(" {:>6} dropped", short(*dropped))),
        ])
    };
    loads.iter().map(line).collect()
}

/// What a worker does: the part of its time that it has work, and packets a second.
struct Load<'a> {
    worker: &'a Worker,
    busy: f64,
    received: f64,
    dropped: f64,
}

fn all_workers<'a>(loads: &[Load<'_>]) -> Line<'a> {
    let sum = |of: fn(&Load<'_>) -> f64| loads.iter().map(of).sum();
    let most = |of: fn(&Load<'_>) -> f64| loads.iter().map(of).fold(0.0, f64::max);
    let least = loads.iter().map(|it| it.busy).fold(1.0, f64::min);
    Line::raw(format!(
        "{} lcores, {:.0} to {:.0} % busy, {} pkt/s in, at most {}, {} dropped",
        loads.len(),
        100.0 * least,
        100.0 * most(|it| it.busy),
        short(sum(|it| it.received)),
        short(most(|it| it.received)),
        short(sum(|it| it.dropped))
    ))
}

fn draw_list(frame: &mut Frame<'_>, area: Rect, state: &State, look: Look) {
    let rows = state.rows();
    let columns = state.view.columns();
    let widths = widths(columns, area.width);
    let mut lines = vec![titles(state, columns, &widths)];
    // The mark is always to be seen.
    let room = usize::from(area.height).saturating_sub(1).max(1);
    let marked = state.marked.min(rows.len().saturating_sub(1));
    let first = marked.saturating_sub(room - 1);
    for (place, row) in rows.iter().enumerate().skip(first).take(room) {
        let style = look.mood(row.mood);
        let style = if place == marked { style.add_modifier(Modifier::REVERSED) } else { style };
        lines.push(Line::styled(list_line(row, columns, &widths), style));
    }
    if rows.is_empty() && state.now.is_some() {
        let why = if state.filter.is_empty() { "nothing here" } else { "nothing with this filter" };
        lines.push(Line::raw(why));
    }
    frame.render_widget(Paragraph::new(lines), area);
}

/// Widths of the columns that there is room for; the first one takes what is left.
fn widths(columns: &[Column], width: u16) -> Vec<u16> {
    let width = width.saturating_sub(1);
    let mut shown = columns.len();
    let needed = |shown: usize| -> u16 { columns[..shown].iter().map(|it| it.width + 1).sum() };
    while shown > 1 && needed(shown) > width + 1 {
        shown -= 1;
    }
    let mut widths: Vec<_> = columns[..shown].iter().map(|it| it.width).collect();
    if let Some(first) = widths.first_mut() {
        *first += (width + 1).saturating_sub(needed(shown));
    }
    widths
}

fn titles<'a>(state: &State, columns: &[Column], widths: &[u16]) -> Line<'a> {
    let cells = columns.iter().zip(widths).enumerate().map(|(place, (column, &width))| {
        let is_first = place == 0;
        let title = match (is_first, &state.view) {
            (true, View::Servers(Some(service))) => format!("servers of {service}"),
            _ => column.title.to_owned(),
        };
        let style = if place == state.sort {
            Style::default().add_modifier(Modifier::BOLD | Modifier::UNDERLINED)
        } else {
            Style::default().add_modifier(Modifier::UNDERLINED)
        };
        // Where nothing stands out the column that sorts is marked, too.
        let mark = if place == state.sort { "*" } else { "" };
        Span::styled(cell(&format!("{title}{mark}"), width, is_first), style)
    });
    Line::from(cells.collect::<Vec<_>>())
}

fn list_line(row: &Row, columns: &[Column], widths: &[u16]) -> String {
    let cells = row.cells.iter().zip(columns).zip(widths);
    cells.map(|((it, _), &width)| cell(&it.text(), width, it.is_text())).collect()
}

/// A text in its column, cut where it is too long, and a blank behind.
fn cell(text: &str, width: u16, is_left: bool) -> String {
    let width = usize::from(width);
    let text: String = text.chars().take(width).collect();
    if is_left { format!("{text:<width$} ") } else { format!("{text:>width$} ") }
}

/// What is dropped now, most first, or else what was dropped most.
fn drops<'a>(state: &State, look: Look) -> Vec<Line<'a>> {
    let Some(now) = &state.now else { return Vec::new() };
    if state.view == View::Drops {
        let reason = state.rows().into_iter().nth(state.marked).map(|row| row.name);
        let meant = now.drops.iter().find(|it| Some(&it.reason) == reason.as_ref());
        return meant.map(|it| Line::raw(it.meaning.clone())).into_iter().collect();
    }
    let mut rows = drop_rows(state.before.as_ref(), now);
    arrange(&mut rows, "", 2, false);
    arrange_by_rate(&mut rows);
    let line = |row: Row| {
        let [reason, rate, packets] = [0, 1, 2].map(|it| row.cells[it].text());
        let text = format!("dropped {reason:<24} {rate:>7} pkt/s {packets:>8} in all");
        Line::styled(text, look.mood(row.mood))
    };
    rows.into_iter().take(DROPS_SHOWN).map(line).collect()
}

/// Those that happen now stand first; the order is kept among the others.
fn arrange_by_rate(rows: &mut [Row]) {
    rows.sort_by_key(|row| row.mood != Mood::Bad);
}

fn keys<'a>(state: &State) -> Paragraph<'a> {
    let text = if state.is_typing {
        format!("filter: {}_   Enter done  Esc none", state.filter)
    } else {
        "q quit  Tab list  Enter open  Esc back  s sort  r reverse  Space pause  / filter"
            .to_owned()
    };
    Paragraph::new(Line::styled(text, Style::default().add_modifier(Modifier::REVERSED)))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

    use super::*;
    use crate::top::sample::tests::sample;

    const PLAIN: Look = Look { has_colour: false, has_blocks: false };

    fn state() -> State {
        let begin = Instant::now();
        let mut state = State::default();
        state.take(Ok(sample(begin, 1)));
        state.take(Ok(sample(begin, 2)));
        state
    }

    fn terminal(state: &State, (width, height): (u16, u16), look: Look) -> Terminal<TestBackend> {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, state, look)).unwrap();
        terminal
    }

    fn shown(state: &State, size: (u16, u16)) -> Vec<String> {
        let terminal = terminal(state, size, PLAIN);
        let buffer = terminal.backend().buffer();
        let width = usize::from(size.0);
        let cells: Vec<_> = buffer.content().iter().map(|cell| cell.symbol()).collect();
        cells.chunks(width).map(|line| line.concat().trim_end().to_owned()).collect()
    }

    fn press(state: &mut State, key: KeyCode) {
        state.press(KeyEvent::new(key, KeyModifiers::NONE));
    }

    #[test]
    fn everything_is_there_at_80_by_24() {
        let lines = shown(&state(), (80, 24));
        assert_eq!(lines[0], "sluiced 0.1.0  up 1 d 01:01:01  3 services");
        assert_eq!(lines[1], "connections   ##########----------  50 %  524288 of 1048576");
        let lcores = [
            "lcore 0 cpu 1 ##########----------  50 % busy  1.50M pkt/s in      7 dropped",
            "lcore 1 cpu 2 #####---------------  25 % busy   750k pkt/s in      7 dropped",
        ];
        assert_eq!(lines[3..5], lcores);
        let titles =
            "service                  sched  srv active  inact  conn/s pkt/s* in b/s out b/s";
        assert_eq!(lines[5], titles);
        assert!(lines[6].starts_with("tcp:[fd00:10::100]:443"), "{lines:#?}");
        assert!(lines[6].contains(" 450 "), "{lines:#?}");
        assert_eq!(lines[21], "dropped no_service                    40 pkt/s       80 in all");
        assert_eq!(lines[22], "dropped not_ip                         0 pkt/s        3 in all");
        assert!(lines[23].starts_with("q quit  Tab list"), "{lines:#?}");
    }

    #[test]
    fn many_lcores_have_one_line() {
        let mut state = state();
        for sample in [&mut state.before, &mut state.now] {
            let workers = &mut sample.as_mut().unwrap().status.workers;
            *workers = workers.repeat(4);
        }
        let wanted = "8 lcores, 25 to 50 % busy, 9M pkt/s in, at most 1.50M, 56 dropped";
        assert_eq!(shown(&state, (80, 24))[3], wanted);
    }

    #[test]
    fn no_size_makes_it_panic() {
        let mut state = state();
        for view in [View::Services, View::Servers(None), View::Ports, View::Drops] {
            state.view = view;
            for width in [1, 5, 20, 40, 79, 80, 81, 200] {
                for height in [1, 2, 5, 24, 60] {
                    terminal(&state, (width, height), PLAIN);
                }
            }
        }
        terminal(&State::default(), (80, 24), PLAIN);
    }

    #[test]
    fn a_service_shows_its_servers_and_a_reason_what_it_means() {
        let mut state = state();
        press(&mut state, KeyCode::Down);
        press(&mut state, KeyCode::Enter);
        let text = shown(&state, (100, 24)).join("\n");
        assert!(text.contains("servers of tcp:10.0.10.100:80"), "{text}");
        assert!(text.contains("\n10.0.20.83:8080") && !text.contains("10.0.20.85"), "{text}");
        for _ in 0..2 {
            press(&mut state, KeyCode::Tab);
        }
        let text = shown(&state, (80, 24)).join("\n");
        assert!(text.contains("\nno_service") && text.contains("\nNone."), "{text}");
    }

    #[test]
    fn the_marked_row_is_seen_in_a_small_window() {
        let mut state = state();
        press(&mut state, KeyCode::End);
        let text = shown(&state, (80, 11)).join("\n");
        assert!(text.contains("udp:10.0.10.100:53"), "{text}");
    }

    #[test]
    fn a_silent_director_is_told_and_what_was_known_stays() {
        let mut state = state();
        state.take(Err("cannot reach sluiced at /x: gone\nIs it running?".to_owned()));
        let lines = shown(&state, (80, 24));
        assert_eq!(lines[0], "cannot reach sluiced at /x: gone");
        assert!(lines[1].starts_with("sluiced 0.1.0"));
    }

    #[test]
    fn without_colour_there_is_none() {
        for has_colour in [false, true] {
            let look = Look { has_colour, has_blocks: true };
            let terminal = terminal(&state(), (80, 24), look);
            let mut cells = terminal.backend().buffer().content().iter();
            let is_coloured = cells.any(|it| it.fg != Color::Reset || it.bg != Color::Reset);
            assert_eq!(is_coloured, has_colour);
        }
    }
}
