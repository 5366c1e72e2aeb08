//! Requests that are asked for together and name each other: by what names, and in what order they go.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use serde::Deserializer;
use serde::Serialize;
use serde::Serializer;

use crate::IdError;
use crate::RequestId;

/// What the text of a name begins with, where an id could stand as well.
const PREFIX: &str = "ref:";

/// Names a request: one that is there, or one that is asked for in the same call.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reference {
    /// A request that is there.
    Id(RequestId),
    /// A request of the same call, by the name that it has there.
    Name(String),
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Name(name) => write!(f, "{PREFIX}{name}"),
        }
    }
}

impl FromStr for Reference {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        match text.strip_prefix(PREFIX) {
            Some(name) => Ok(Self::Name(name.to_owned())),
            None => text.parse().map(Self::Id),
        }
    }
}

impl Serialize for Reference {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Reference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Things that name each other in a circle, in this order; the last is the first again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cycle(pub Vec<usize>);

/// Puts things in an order in which each comes after all that it names; as close to the given one as that allows.
///
/// `named` says for each thing which others it names, by their places. Places that do not exist are ignored.
///
/// # Errors
/// One of the circles, if things name each other in one.
pub fn reference_order(named: &[Vec<usize>]) -> Result<Vec<usize>, Cycle> {
    let mut missing = vec![0_usize; named.len()];
    let mut namers: Vec<Vec<usize>> = vec![Vec::new(); named.len()];
    for (index, names) in named.iter().enumerate() {
        for name in names {
            if let Some(namers) = namers.get_mut(*name) {
                namers.push(index);
                missing[index] += 1;
            }
        }
    }
    let free = missing.iter().enumerate().filter(|(_, missing)| **missing == 0);
    let mut free: BinaryHeap<Reverse<usize>> = free.map(|(index, _)| Reverse(index)).collect();
    let mut order = Vec::with_capacity(named.len());
    while let Some(Reverse(index)) = free.pop() {
        order.push(index);
        for namer in &namers[index] {
            missing[*namer] -= 1;
            if missing[*namer] == 0 {
                free.push(Reverse(*namer));
            }
        }
    }
    match missing.iter().position(|missing| *missing > 0) {
        None => Ok(order),
        Some(start) => Err(cycle(named, &missing, start)),
    }
}

/// Walks along names until a place is seen again. Whatever is left names something that is left.
fn cycle(named: &[Vec<usize>], missing: &[usize], start: usize) -> Cycle {
    let left = |index: &usize| missing.get(*index).is_some_and(|missing| *missing > 0);
    let mut at_step = vec![None; named.len()];
    let mut path = Vec::new();
    let mut here = start;
    loop {
        if let Some(first) = at_step[here] {
            path.push(here);
            return Cycle(path.split_off(first));
        }
        at_step[here] = Some(path.len());
        path.push(here);
        match named[here].iter().copied().find(|next| left(next)) {
            Some(next) => here = next,
            None => return Cycle(path),
        }
    }
}

#[cfg(test)]
mod tests;
