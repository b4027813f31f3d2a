//! What is on the screen, and how keys change it.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::rows::{Row, View, arrange};
use super::sample::Sample;

/// What is on the screen.
#[derive(Debug)]
pub struct State {
    pub view: View,
    /// The column that the list is sorted by, and whether the other way round.
    pub sort: usize,
    pub is_reversed: bool,
    pub filter: String,
    /// Whether keys are letters of the filter.
    pub is_typing: bool,
    pub is_paused: bool,
    /// The row that is marked, of those that are listed.
    pub marked: usize,
    pub before: Option<Sample>,
    pub now: Option<Sample>,
    /// Why there is nothing new.
    pub problem: Option<String>,
}

/// What a key asks for besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    Stay,
    Quit,
}

impl Default for State {
    fn default() -> Self {
        Self {
            view: View::Services,
            sort: View::Services.first_sort(),
            is_reversed: false,
            filter: String::new(),
            is_typing: false,
            is_paused: false,
            marked: 0,
            before: None,
            now: None,
            problem: None,
        }
    }
}

impl State {
    /// Takes what the director said. What was there before stays where it said nothing.
    pub fn take(&mut self, said: Result<Sample, String>) {
        match said {
            Ok(_) if self.is_paused => {}
            Ok(sample) => {
                self.before = self.now.replace(sample);
                self.problem = None;
            }
            Err(problem) => self.problem = Some(problem),
        }
    }

    /// The rows that are listed.
    pub fn rows(&self) -> Vec<Row> {
        let Some(now) = &self.now else { return Vec::new() };
        let mut rows = self.view.rows(self.before.as_ref(), now);
        arrange(&mut rows, &self.filter, self.sort, self.is_reversed);
        rows
    }

    /// Does what a key means.
    pub fn press(&mut self, key: KeyEvent) -> Wish {
        if key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c') {
            return Wish::Quit;
        }
        if self.is_typing {
            self.type_filter(key.code);
            return Wish::Stay;
        }
        let last = self.rows().len().saturating_sub(1);
        match key.code {
            KeyCode::Char('q') => return Wish::Quit,
            KeyCode::Down | KeyCode::Char('j') => self.marked = (self.marked + 1).min(last),
            KeyCode::Up | KeyCode::Char('k') => self.marked = self.marked.saturating_sub(1),
            KeyCode::PageDown => self.marked = (self.marked + 10).min(last),
            KeyCode::PageUp => self.marked = self.marked.saturating_sub(10),
            KeyCode::Home | KeyCode::Char('g') => self.marked = 0,
            KeyCode::End | KeyCode::Char('G') => self.marked = last,
            KeyCode::Enter => self.open(),
            KeyCode::Esc | KeyCode::Backspace => self.leave(),
            KeyCode::Tab => self.show(self.view.next()),
            KeyCode::Char('s') => self.sort = (self.sort + 1) % self.view.columns().len(),
            KeyCode::Char('r') => self.is_reversed = !self.is_reversed,
            KeyCode::Char('/') => self.is_typing = true,
            KeyCode::Char(' ') => self.is_paused = !self.is_paused,
            _ => {}
        }
        Wish::Stay
    }

    fn type_filter(&mut self, key: KeyCode) {
        match key {
            KeyCode::Enter => self.is_typing = false,
            KeyCode::Esc => {
                self.is_typing = false;
                self.filter.clear();
            }
            KeyCode::Backspace => drop(self.filter.pop()),
            KeyCode::Char(letter) => self.filter.push(letter),
            _ => {}
        }
        self.marked = 0;
    }

    /// Into the service that is marked.
    fn open(&mut self) {
        if self.view == View::Services
            && let Some(row) = self.rows().get(self.marked)
        {
            self.show(View::Servers(Some(row.name.clone())));
        }
    }

    fn leave(&mut self) {
        if self.filter.is_empty() {
            self.show(View::Services);
        } else {
            self.filter.clear();
        }
    }

    fn show(&mut self, view: View) {
        self.sort = view.first_sort();
        (self.is_reversed, self.marked) = (false, 0);
        self.filter.clear();
        self.view = view;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::top::sample::tests::sample;

    fn state() -> State {
        let begin = Instant::now();
        let mut state = State::default();
        state.take(Ok(sample(begin, 1)));
        state.take(Ok(sample(begin, 2)));
        state
    }

    fn press(state: &mut State, keys: &[KeyCode]) -> Wish {
        let mut wish = Wish::Stay;
        for &key in keys {
            wish = state.press(KeyEvent::new(key, KeyModifiers::NONE));
        }
        wish
    }

    #[test]
    fn a_service_is_opened_and_left() {
        let mut state = state();
        press(&mut state, &[KeyCode::Down, KeyCode::Enter]);
        assert_eq!(state.view, View::Servers(Some("tcp:10.0.10.100:80".to_owned())));
        assert_eq!(state.rows().len(), 2);
        press(&mut state, &[KeyCode::Esc]);
        assert_eq!(state.view, View::Services);
        press(&mut state, &[KeyCode::Tab, KeyCode::Tab, KeyCode::Tab, KeyCode::Tab]);
        assert_eq!(state.view, View::Services, "once round");
    }

    #[test]
    fn a_filter_is_typed() {
        let mut state = state();
        let letters = "/udq".chars().map(KeyCode::Char).collect::<Vec<_>>();
        assert_eq!(press(&mut state, &letters), Wish::Stay, "q is a letter here");
        assert!(state.rows().is_empty());
        press(&mut state, &[KeyCode::Backspace, KeyCode::Enter]);
        assert_eq!(state.rows().len(), 1);
        press(&mut state, &[KeyCode::Esc]);
        assert_eq!((state.rows().len(), &state.view), (3, &View::Services));
        assert_eq!(press(&mut state, &[KeyCode::Char('q')]), Wish::Quit);
    }

    #[test]
    fn the_mark_stays_within_the_list_whatever_is_pressed() {
        let mut state = State::default();
        press(&mut state, &[KeyCode::Down, KeyCode::Enter, KeyCode::End, KeyCode::PageUp]);
        assert_eq!((state.marked, &state.view), (0, &View::Services), "there is nothing yet");
        state.take(Ok(sample(Instant::now(), 1)));
        press(&mut state, &[KeyCode::PageDown]);
        assert_eq!(state.marked, 2);
        for _ in 0..20 {
            press(&mut state, &[KeyCode::Char('s')]);
        }
        assert!(state.sort < state.view.columns().len());
    }

    #[test]
    fn a_pause_keeps_what_is_there_and_a_silent_director_does_too() {
        let mut state = state();
        let at = state.now.as_ref().unwrap().at;
        press(&mut state, &[KeyCode::Char(' ')]);
        state.take(Ok(sample(Instant::now(), 9)));
        assert_eq!(state.now.as_ref().unwrap().at, at);
        state.take(Err("cannot reach sluiced".to_owned()));
        assert!(state.problem.is_some() && state.now.is_some());
    }
}
