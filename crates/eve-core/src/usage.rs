//! Tokens and money that an attempt used.

use rust_decimal::Decimal;
use serde::Deserialize;
use serde::Serialize;

/// Where a cost comes from. Unknown is never zero: no basis means no cost was learnt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CostBasis {
    /// The agent's own report of what it was charged.
    Observed,
    /// Tokens times a price list.
    Priced,
    /// A guess from the size of the texts.
    Estimated,
}

/// What was used, summed over an attempt or as one report within it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// The model that answered, where the agent names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Tokens read, without those that came from a cache.
    #[serde(default)]
    pub input_tokens: u64,
    /// Tokens written.
    #[serde(default)]
    pub output_tokens: u64,
    /// Tokens read from a prompt cache.
    #[serde(default)]
    pub cache_read_tokens: u64,
    /// Tokens written to a prompt cache.
    #[serde(default)]
    pub cache_write_tokens: u64,
    /// US dollars, if anybody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<Decimal>,
    /// How the cost is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_basis: Option<CostBasis>,
}

impl Usage {
    /// Every token, however it was counted.
    pub const fn total_tokens(&self) -> u64 {
        self.input_tokens
            .saturating_add(self.output_tokens)
            .saturating_add(self.cache_read_tokens)
            .saturating_add(self.cache_write_tokens)
    }

    /// What was used since `before`, for agents that report running totals.
    pub fn since(&self, before: &Self) -> Self {
        Self {
            model: self.model.clone(),
            input_tokens: self.input_tokens.saturating_sub(before.input_tokens),
            output_tokens: self.output_tokens.saturating_sub(before.output_tokens),
            cache_read_tokens: self.cache_read_tokens.saturating_sub(before.cache_read_tokens),
            cache_write_tokens: self.cache_write_tokens.saturating_sub(before.cache_write_tokens),
            cost_usd: self.cost_usd.map(|cost| (cost - before.cost_usd.unwrap_or_default()).max(Decimal::ZERO)),
            cost_basis: self.cost_basis,
        }
    }

    /// Adds another report. The sum's basis is the weaker of the two.
    pub fn add(&mut self, other: &Self) {
        if self.model.is_none() {
            self.model.clone_from(&other.model);
        }
        self.input_tokens = self.input_tokens.saturating_add(other.input_tokens);
        self.output_tokens = self.output_tokens.saturating_add(other.output_tokens);
        self.cache_read_tokens = self.cache_read_tokens.saturating_add(other.cache_read_tokens);
        self.cache_write_tokens = self.cache_write_tokens.saturating_add(other.cache_write_tokens);
        if let Some(cost) = other.cost_usd {
            self.cost_usd = Some(self.cost_usd.unwrap_or_default() + cost);
        }
        self.cost_basis = match (self.cost_basis, other.cost_basis) {
            (Some(CostBasis::Estimated), _) | (_, Some(CostBasis::Estimated)) => Some(CostBasis::Estimated),
            (Some(CostBasis::Priced), _) | (_, Some(CostBasis::Priced)) => Some(CostBasis::Priced),
            (Some(CostBasis::Observed), _) | (_, Some(CostBasis::Observed)) => Some(CostBasis::Observed),
            (None, None) => None,
        };
    }
}
