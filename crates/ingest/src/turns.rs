//! The way to the state store. Whoever waits there is served in turns: one sender after the other, and of each sender one
//! namespace after the other, so that nobody waits for all that somebody else has sent.
//!
//! ```text
//! body ─► fits? ─► store
//!            └─no─► line of its namespace ─► line of its sender ─► next turn, when the store has answered others
//! ```

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::Arc;

use compact_str::CompactString;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::problem::Problem;
use crate::rate::Sender;

/// Bodies that are with the store at the same time: enough for group commits and shared calls, and no more than a store that
/// decides ten thousand a second answers within 25 ms.
const BODIES: usize = 256;
/// Their signals: what the embedded store decides in one commit. A larger body goes alone.
const SIGNALS: usize = 16_384;
/// Bodies that wait. Whoever is being answered waits here at most once, and may have left without an answer.
const WAITING: usize = 4096;

/// Who is with the store and who is next.
#[derive(Default)]
pub(crate) struct Turns(Mutex<State>);

#[derive(Default)]
struct State {
    bodies: usize,
    signals: usize,
    waiting: usize,
    lines: Lines<Option<Sender>, Lines<CompactString, VecDeque<Waiter>>>,
}

struct Waiter {
    signals: usize,
    turn: oneshot::Sender<Turn>,
}

/// Permission to have signals decided, until it is dropped.
#[must_use]
pub(crate) struct Turn {
    turns: Arc<Turns>,
    signals: usize,
}

impl Turns {
    /// Waits for a turn with so many signals, the first of which is about this namespace.
    pub(crate) async fn next(
        self: &Arc<Self>,
        sender: Option<Sender>,
        namespace: &str,
        signals: usize,
    ) -> Result<Turn, Problem> {
        loop {
            let given = {
                let mut state = self.0.lock();
                if state.waiting == 0 && state.fits(signals) {
                    state.admit(signals);
                    return Ok(Turn { turns: self.clone(), signals });
                }
                if state.waiting >= WAITING {
                    return Err(Problem::saturated("as many bodies as allowed wait to be decided"));
                }
                let (turn, given) = oneshot::channel();
                state.waiting += 1;
                state.lines.line(sender.clone()).line(namespace.into()).push_back(Waiter { signals, turn });
                given
            };
            // Nobody takes a waiter out of line without a turn for it.
            if let Ok(turn) = given.await {
                return Ok(turn);
            }
        }
    }

    fn leave(self: &Arc<Self>, signals: usize) {
        let mut called = Vec::new();
        let mut state = self.0.lock();
        state.bodies -= 1;
        state.signals -= signals;
        while let Some(next) = state.lines.first() {
            let (is_gone, signals) = (next.turn.is_closed(), next.signals);
            if !is_gone && !state.fits(signals) {
                break;
            }
            let Some(next) = state.lines.take() else { break };
            state.waiting -= 1;
            if !is_gone {
                state.admit(signals);
                called.push((next.turn, Turn { turns: self.clone(), signals }));
            }
        }
        drop(state);
        for (waiter, turn) in called {
            // Whoever has just gone gives the turn back by dropping it.
            drop(waiter.send(turn));
        }
    }
}

impl State {
    const fn fits(&self, signals: usize) -> bool {
        self.bodies == 0 || self.bodies < BODIES && self.signals + signals <= SIGNALS
    }

    const fn admit(&mut self, signals: usize) {
        self.bodies += 1;
        self.signals += signals;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.turns.clone().leave(self.signals);
    }
}

/// Something to stand in.
trait Line {
    fn first(&self) -> Option<&Waiter>;
    fn take(&mut self) -> Option<Waiter>;
}

impl Line for VecDeque<Waiter> {
    fn first(&self) -> Option<&Waiter> {
        self.front()
    }

    fn take(&mut self) -> Option<Waiter> {
        self.pop_front()
    }
}

/// Lines that are served one after the other. None is empty.
struct Lines<K, L> {
    order: VecDeque<K>,
    lines: HashMap<K, L>,
}

impl<K, L> Default for Lines<K, L> {
    fn default() -> Self {
        Self { order: VecDeque::new(), lines: HashMap::new() }
    }
}

impl<K: Clone + Eq + Hash, L: Line + Default> Lines<K, L> {
    /// The line of this one, which whoever asks stands in. A new one comes last.
    fn line(&mut self, key: K) -> &mut L {
        if !self.lines.contains_key(&key) {
            self.order.push_back(key.clone());
        }
        self.lines.entry(key).or_default()
    }
}

impl<K: Clone + Eq + Hash, L: Line> Line for Lines<K, L> {
    fn first(&self) -> Option<&Waiter> {
        self.lines.get(self.order.front()?)?.first()
    }

    fn take(&mut self) -> Option<Waiter> {
        let key = self.order.pop_front()?;
        let line = self.lines.get_mut(&key)?;
        let waiter = line.take();
        if line.first().is_some() {
            self.order.push_back(key);
        } else {
            self.lines.remove(&key);
        }
        waiter
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    type Waiting = Pin<Box<dyn Future<Output = Result<Turn, Problem>> + Send>>;

    fn sender(name: &str) -> Option<Sender> {
        Some(Sender::Identity(name.into()))
    }

    /// Somebody who asks for a turn, with a name for the test.
    struct Asking(&'static str, Waiting);

    fn ask(turns: &Arc<Turns>, name: &'static str, namespace: &'static str, signals: usize) -> Asking {
        let turns = turns.clone();
        let turn = async move { turns.next(sender(name), namespace, signals).await };
        let mut asking = Asking(namespace, Box::pin(turn));
        assert!(asking.poll().is_none(), "{namespace} need not wait");
        asking
    }

    impl Asking {
        fn poll(&mut self) -> Option<Turn> {
            match self.1.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(Ok(turn)) => Some(turn),
                Poll::Ready(Err(problem)) => panic!("{problem:?}"),
                Poll::Pending => None,
            }
        }
    }

    /// A store that is busy with one large body.
    fn busy(turns: &Arc<Turns>) -> Turn {
        let mut first: Waiting = {
            let turns = turns.clone();
            Box::pin(async move { turns.next(sender("first"), "first", SIGNALS).await })
        };
        match first.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(turn)) => turn,
            _ => panic!("nobody else is there"),
        }
    }

    /// In which order they are served when each makes all others wait.
    fn order(mut last: Turn, mut asking: Vec<Asking>) -> Vec<&'static str> {
        let mut order = Vec::new();
        while !asking.is_empty() {
            drop(last);
            let served: Vec<_> =
                asking.iter_mut().enumerate().filter_map(|(at, it)| Some((at, it.poll()?))).collect();
            let [(at, turn)] = <[_; 1]>::try_from(served).ok().expect("one at a time");
            order.push(asking.remove(at).0);
            last = turn;
        }
        order
    }

    #[test]
    fn senders_take_turns_however_much_one_of_them_sends() {
        let turns = Arc::new(Turns::default());
        let busy = busy(&turns);
        let mut asking: Vec<_> = (0..5).map(|_| ask(&turns, "noisy", "loud", SIGNALS)).collect();
        asking.push(ask(&turns, "quiet", "calm", SIGNALS));
        asking.push(ask(&turns, "quiet", "calm", SIGNALS));
        assert_eq!(order(busy, asking), ["loud", "calm", "loud", "calm", "loud", "loud", "loud"]);
    }

    #[test]
    fn namespaces_of_one_sender_take_turns_too() {
        let turns = Arc::new(Turns::default());
        let busy = busy(&turns);
        let names = ["a", "a", "a", "b", "c", "b"];
        let asking = names.map(|name| ask(&turns, "alertmanager", name, SIGNALS));
        assert_eq!(order(busy, asking.into()), ["a", "b", "c", "a", "b", "a"]);
    }

    #[test]
    fn many_small_ones_go_together_and_one_larger_than_all_goes_alone_and_is_not_passed_over() {
        let turns = Arc::new(Turns::default());
        let last = busy(&turns);
        let mut large = ask(&turns, "large", "large", 3 * SIGNALS);
        let mut small: Vec<_> = (0..BODIES + 1).map(|_| ask(&turns, "small", "small", 1)).collect();
        drop(last);
        let alone = large.poll().expect("the first in line");
        assert!(small.iter_mut().all(|it| it.poll().is_none()));
        drop(alone);
        let mut served: Vec<_> = small.iter_mut().filter_map(Asking::poll).collect();
        assert_eq!(served.len(), BODIES);
        served.pop();
        assert!(small.last_mut().unwrap().poll().is_some());
    }

    #[test]
    fn whoever_goes_away_holds_nobody_up() {
        let turns = Arc::new(Turns::default());
        let last = busy(&turns);
        let gone = ask(&turns, "gone", "gone", SIGNALS);
        let mut called_and_gone = ask(&turns, "late", "late", SIGNALS);
        let mut stays = ask(&turns, "stays", "stays", SIGNALS);
        drop(gone);
        drop(last);
        assert!(stays.poll().is_none());
        // It has its turn and never took it.
        called_and_gone.1 = Box::pin(std::future::pending());
        assert!(stays.poll().is_some());
        assert_eq!(turns.0.lock().waiting, 0);
    }

    #[test]
    fn no_more_than_so_many_wait() {
        let turns = Arc::new(Turns::default());
        let _busy = busy(&turns);
        let waiting: Vec<_> = (0..WAITING).map(|_| ask(&turns, "a", "a", 1)).collect();
        let mut refused: Waiting = {
            let turns = turns.clone();
            Box::pin(async move { turns.next(sender("b"), "b", 1).await })
        };
        let answer = refused.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(answer, Poll::Ready(Err(_))), "one too many");
        drop(waiting);
    }
}
