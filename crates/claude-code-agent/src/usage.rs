//! What turns cost. The CLI counts per session; a turn is what was added since the one before.

use std::collections::BTreeMap;

use agent_core::{Usage, UsageSource};

use crate::protocol::{Message, MessageUsage, ModelUsage, StreamEvent, TurnResult};

/// The running totals of one process.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    totals: BTreeMap<String, ModelUsage>,
    /// What turns that nobody asked for have cost, not told yet.
    owed: Option<Usage>,
}

impl Ledger {
    /// The figures of the turn that ended so, with what is owed from before.
    pub(crate) fn turn(&mut self, result: &TurnResult) -> Usage {
        let mut usage = self.added(result);
        if let Some(owed) = self.owed.take() {
            add(&mut usage, &owed);
        }
        usage
    }

    /// Counts a turn that nobody asked for; the next one that somebody did bears its cost.
    pub(crate) fn unasked(&mut self, result: &TurnResult) {
        let usage = self.added(result);
        tracing::info!(
            input_tokens = usage.input_tokens,
            output_tokens = usage.output_tokens,
            cost_usd = usage.cost_usd,
            "a turn that nobody asked for is counted with the next one"
        );
        match &mut self.owed {
            Some(owed) => add(owed, &usage),
            None => self.owed = Some(usage),
        }
    }

    /// The cost of turns that nobody asked for, if there is any left to tell.
    pub(crate) fn owed(&mut self) -> Option<Usage> {
        self.owed.take()
    }

    fn added(&mut self, result: &TurnResult) -> Usage {
        let mut usage = Usage {
            source: UsageSource::Agent,
            ..Usage::default()
        };
        let mut cost = 0.0;
        for (model, total) in &result.model_usage {
            let before = self
                .totals
                .insert(model.clone(), *total)
                .unwrap_or_default();
            let added = match &result.model_usage_since_last_result {
                Some(since) => since.get(model).copied().unwrap_or_default(),
                None => difference(total, &before),
            };
            usage.input_tokens += added.input_tokens
                + added.cache_read_input_tokens
                + added.cache_creation_input_tokens;
            usage.cached_input_tokens += added.cache_read_input_tokens;
            usage.output_tokens += added.output_tokens;
            usage.reasoning_tokens += added.thinking_tokens;
            usage.context_window = usage.context_window.max(added.context_window);
            cost += added.cost_usd;
        }
        usage.cost_usd = Some(cost);
        usage
    }
}

/// The figures of a turn that goes on, message by message: the CLI itself gives them at the turn's end, and more exactly.
#[derive(Debug, Default)]
pub(crate) struct SoFar {
    usage: Usage,
    /// What the message under way said at its beginning.
    begun: MessageUsage,
}

impl SoFar {
    /// Takes note of a message, and gives the figures if it has changed them: once for each answer of the model's.
    pub(crate) fn note(&mut self, message: &Message) -> Option<Usage> {
        let Message::Stream(line) = message else {
            return None;
        };
        match &line.event {
            StreamEvent::MessageStart { message } => {
                self.begun = message.usage.unwrap_or_default();
                None
            }
            StreamEvent::MessageDelta { usage } => {
                let usage = usage.unwrap_or_default();
                let begun = std::mem::take(&mut self.begun);
                let count = |end: Option<u64>, begun: Option<u64>| end.or(begun).unwrap_or(0);
                let cached = count(usage.cache_read_input_tokens, begun.cache_read_input_tokens);
                self.usage.input_tokens += count(usage.input_tokens, begun.input_tokens)
                    + cached
                    + count(
                        usage.cache_creation_input_tokens,
                        begun.cache_creation_input_tokens,
                    );
                self.usage.cached_input_tokens += cached;
                self.usage.output_tokens += count(usage.output_tokens, begun.output_tokens);
                Some(self.usage.clone())
            }
            _ => None,
        }
    }
}

/// Adds what another turn used.
pub(crate) fn add(usage: &mut Usage, more: &Usage) {
    usage.input_tokens += more.input_tokens;
    usage.cached_input_tokens += more.cached_input_tokens;
    usage.output_tokens += more.output_tokens;
    usage.reasoning_tokens += more.reasoning_tokens;
    usage.context_window = usage.context_window.max(more.context_window);
    usage.cost_usd = match (usage.cost_usd, more.cost_usd) {
        (Some(cost), Some(more)) => Some(cost + more),
        (cost, more) => cost.or(more),
    };
}

fn difference(total: &ModelUsage, before: &ModelUsage) -> ModelUsage {
    ModelUsage {
        input_tokens: total.input_tokens.saturating_sub(before.input_tokens),
        output_tokens: total.output_tokens.saturating_sub(before.output_tokens),
        cache_read_input_tokens: total
            .cache_read_input_tokens
            .saturating_sub(before.cache_read_input_tokens),
        cache_creation_input_tokens: total
            .cache_creation_input_tokens
            .saturating_sub(before.cache_creation_input_tokens),
        thinking_tokens: total.thinking_tokens.saturating_sub(before.thinking_tokens),
        cost_usd: (total.cost_usd - before.cost_usd).max(0.0),
        context_window: total.context_window,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(input: u64, cost: f64, since: Option<u64>) -> TurnResult {
        let usage = |input_tokens, cost_usd| {
            let usage = ModelUsage {
                input_tokens,
                cost_usd,
                ..ModelUsage::default()
            };
            BTreeMap::from([("m".to_owned(), usage)])
        };
        TurnResult {
            model_usage: usage(input, cost),
            model_usage_since_last_result: since.map(|input| usage(input, 0.5)),
            ..TurnResult::default()
        }
    }

    #[test]
    fn a_turn_is_what_was_added_and_bears_what_came_unasked() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.turn(&result(100, 1.0, None)).input_tokens, 100);
        ledger.unasked(&result(130, 1.5, None));
        let usage = ledger.turn(&result(200, 2.0, None));
        assert_eq!((usage.input_tokens, usage.cost_usd), (100, Some(1.0)));
        assert_eq!(ledger.turn(&result(210, 2.0, None)).input_tokens, 10);
    }

    #[test]
    fn totals_that_go_on_over_a_resume_are_not_counted_again() {
        let usage = Ledger::default().turn(&result(1000, 9.0, Some(7)));
        assert_eq!((usage.input_tokens, usage.cost_usd), (7, Some(0.5)));
    }
}
