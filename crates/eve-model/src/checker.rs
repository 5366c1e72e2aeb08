//! A checker for explicit states: breadth first, every state once, the shortest way to whatever is wrong.
//!
//! Why not a crate: the usual one, `stateright`, brings ten packages (among them a web server), takes 18 s of CPU to
//! compile, and judges states only. Half of what is to be said here is about steps ("nothing was changed by …"), and
//! that a request never gets stuck needs the graph. Both are a few lines when the loop is one's own.
//!
//! States are known by a fingerprint of 64 bits. With ten million states, two of them share one with a probability
//! of three in a million; then one would not be explored.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::fmt::Display;
use std::hash::BuildHasherDefault;
use std::hash::Hash;
use std::hash::Hasher;

/// Something with states and steps between them.
pub trait Model {
    /// Everything that the next steps depend on.
    type State: Clone + Hash;
    /// What a step is called.
    type Action: Clone + Display;

    /// Where it begins.
    fn initial(&self) -> Self::State;

    /// All that can happen next. The order must depend on the state alone.
    fn steps(&self, state: &Self::State) -> Vec<(Self::Action, Self::State)>;
}

/// One step of a model.
#[derive(Debug)]
pub struct Step<'a, M: Model> {
    /// The state before.
    pub before: &'a M::State,
    /// What happened.
    pub action: &'a M::Action,
    /// The state afterwards.
    pub after: &'a M::State,
}

/// What a property says.
pub enum Kind<M: Model> {
    /// Holds in every state.
    Always(fn(&M, &M::State) -> bool),
    /// Holds of every step.
    EveryStep(fn(&M, &Step<'_, M>) -> bool),
    /// Holds of some step: without it, the rest would prove nothing.
    Sometimes(fn(&M, &Step<'_, M>) -> bool),
    /// From every state, a state where the first holds can be reached by steps of which the second holds: nothing
    /// gets stuck, and it takes no accident to go on.
    CanStill(fn(&M, &M::State) -> bool, fn(&M, &Step<'_, M>) -> bool),
}

/// A property and its name.
pub struct Property<M: Model> {
    /// What is printed and asserted on.
    pub name: &'static str,
    /// What it says.
    pub kind: Kind<M>,
}

/// A property that does not hold, and the shortest way to where it does not.
#[derive(Debug, Clone)]
pub struct Violation {
    /// The property.
    pub property: &'static str,
    /// What happened, from the beginning.
    pub path: Vec<String>,
}

/// What was found.
#[derive(Debug, Clone, Default)]
pub struct Exploration {
    /// Different states.
    pub states: usize,
    /// Steps between them.
    pub steps: usize,
    /// The longest of the shortest ways from the beginning to a state.
    pub depth: u32,
    /// Whether every state was seen.
    pub complete: bool,
    /// What does not hold; at most one entry for each property.
    pub violations: Vec<Violation>,
    /// What is to happen sometimes and did, with the shortest way there.
    pub seen: Vec<Violation>,
}

impl Exploration {
    /// The violation of this property, if there is one.
    pub fn violation(&self, property: &str) -> Option<&Violation> {
        self.violations.iter().find(|violation| violation.property == property)
    }

    /// Whether this happened.
    pub fn has_seen(&self, property: &str) -> bool {
        self.seen.iter().any(|seen| seen.property == property)
    }
}

/// How a state was first reached.
#[derive(Debug, Clone, Copy)]
struct Origin {
    parent: u32,
    /// Which of the parent's steps.
    step: u16,
    depth: u32,
}

/// Explores all states, or stops when `enough` says so of what was found, or at `limit` states.
pub fn explore<M: Model>(
    model: &M,
    properties: &[Property<M>],
    limit: usize,
    enough: impl Fn(&Exploration) -> bool,
) -> Exploration {
    let mut found = Exploration::default();
    let initial = model.initial();
    let mut known: HashMap<u64, u32, BuildHasherDefault<Fold>> = HashMap::from_iter([(fingerprint(&initial), 0)]);
    let mut origins = vec![Origin { parent: 0, step: 0, depth: 0 }];
    let mut graphs: Vec<_> = properties.iter().filter_map(|property| Graph::new(model, property)).collect();
    let mut frontier = VecDeque::from([initial]);
    let mut current = 0_u32;
    while let Some(state) = frontier.pop_front() {
        for property in properties {
            if let Kind::Always(holds) = property.kind
                && !found.violations.iter().any(|known| known.property == property.name)
                && !holds(model, &state)
            {
                let path = path(model, &origins, current, None);
                found.violations.push(Violation { property: property.name, path });
            }
        }
        graphs.iter_mut().for_each(|graph| graph.enter(&state));
        for (number, (action, after)) in (0_u16..).zip(model.steps(&state)) {
            found.steps += 1;
            let step = Step { before: &state, action: &action, after: &after };
            judge(model, properties, &step, &mut found, || path(model, &origins, current, Some(&action)));
            let new = u32::try_from(origins.len()).unwrap_or(u32::MAX);
            let index = *known.entry(fingerprint(&after)).or_insert(new);
            graphs.iter_mut().for_each(|graph| graph.edge(&step, index));
            if index == new {
                let depth = origins[current as usize].depth + 1;
                found.depth = found.depth.max(depth);
                origins.push(Origin { parent: current, step: number, depth });
                frontier.push_back(after);
            }
        }
        current += 1;
        if origins.len() > limit || enough(&found) {
            break;
        }
    }
    found.states = origins.len();
    found.complete = frontier.is_empty();
    if found.complete {
        for graph in graphs {
            let property = graph.property.name;
            if let Some(stuck) = graph.stuck() {
                found.violations.push(Violation { property, path: path(model, &origins, stuck, None) });
            }
        }
    }
    found
}

/// Looks whether a step is forbidden, or one that was hoped for.
fn judge<M: Model>(
    model: &M,
    properties: &[Property<M>],
    step: &Step<'_, M>,
    found: &mut Exploration,
    path: impl Fn() -> Vec<String>,
) {
    for property in properties {
        let (list, holds, wanted) = match property.kind {
            Kind::EveryStep(holds) => (&mut found.violations, holds, false),
            Kind::Sometimes(holds) => (&mut found.seen, holds, true),
            Kind::Always(_) | Kind::CanStill(..) => continue,
        };
        if !list.iter().any(|known| known.property == property.name) && holds(model, step) == wanted {
            list.push(Violation { property: property.name, path: path() });
        }
    }
}

/// Who leads where, for a property that asks whether something can still be reached.
struct Graph<'a, M: Model> {
    model: &'a M,
    property: &'a Property<M>,
    /// The states where the goal is reached.
    reached: Vec<bool>,
    /// Where the steps of each state begin in `targets`.
    begins: Vec<usize>,
    targets: Vec<u32>,
}

impl<'a, M: Model> Graph<'a, M> {
    fn new(model: &'a M, property: &'a Property<M>) -> Option<Self> {
        matches!(property.kind, Kind::CanStill(..)).then(|| Self {
            model,
            property,
            reached: Vec::new(),
            begins: Vec::new(),
            targets: Vec::new(),
        })
    }

    /// The edges that follow are this state's.
    fn enter(&mut self, state: &M::State) {
        if let Kind::CanStill(holds, _) = self.property.kind {
            self.reached.push(holds(self.model, state));
            self.begins.push(self.targets.len());
        }
    }

    fn edge(&mut self, step: &Step<'_, M>, target: u32) {
        if matches!(self.property.kind, Kind::CanStill(_, counts) if counts(self.model, step)) {
            self.targets.push(target);
        }
    }

    /// The first state from which the goal cannot be reached.
    fn stuck(mut self) -> Option<u32> {
        self.begins.push(self.targets.len());
        let mut can = self.reached;
        let mut changed = true;
        // Steps mostly lead to states found later, so going backwards needs few rounds.
        while changed {
            changed = false;
            for state in (0..can.len()).rev() {
                let targets = &self.targets[self.begins[state]..self.begins[state + 1]];
                if !can[state] && targets.iter().any(|target| can[*target as usize]) {
                    can[state] = true;
                    changed = true;
                }
            }
        }
        can.iter().position(|can| !can).and_then(|first| u32::try_from(first).ok())
    }
}

/// What happened on the way to a state, and then.
fn path<M: Model>(model: &M, origins: &[Origin], state: u32, then: Option<&M::Action>) -> Vec<String> {
    let mut numbers = Vec::new();
    let mut at = state;
    while at != 0 {
        let origin = origins[at as usize];
        numbers.push(origin.step);
        at = origin.parent;
    }
    let mut here = model.initial();
    let mut path = Vec::new();
    for number in numbers.into_iter().rev() {
        // Steps depend on the state alone, so they are there again.
        if let Some((action, after)) = model.steps(&here).into_iter().nth(usize::from(number)) {
            path.push(action.to_string());
            here = after;
        }
    }
    path.extend(then.map(ToString::to_string));
    path
}

fn fingerprint(state: &impl Hash) -> u64 {
    let mut hasher = Fold::default();
    state.hash(&mut hasher);
    hasher.finish()
}

/// A fast hash of many small values: each is folded in by a multiplication of full width. Nobody chooses the states
/// to make them collide, so it need not resist that.
#[derive(Default)]
struct Fold(u64);

impl Hasher for Fold {
    #[inline]
    fn write_u64(&mut self, value: u64) {
        let mixed = self.0 ^ value ^ 0x9e37_79b9_7f4a_7c15;
        let product = u128::from(mixed) * 0xa076_1d64_78bd_642f;
        self.0 = (product >> 64) as u64 ^ product as u64;
    }

    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    #[inline]
    fn write_u8(&mut self, value: u8) {
        self.write_u64(u64::from(value));
    }

    #[inline]
    fn write_usize(&mut self, value: usize) {
        self.write_u64(value as u64);
    }

    #[inline]
    fn write_isize(&mut self, value: isize) {
        self.write_u64(value as u64);
    }

    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests;
