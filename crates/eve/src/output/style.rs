//! Colours by meaning.

use eve_api_types::RequestStatus;

/// What a piece of text means; never told by colour alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Style {
    /// Nothing in particular.
    #[default]
    Plain,
    /// Headings.
    Strong,
    /// Beside the point.
    Faint,
    /// Works or worked.
    Good,
    /// A person may want to look.
    Attention,
    /// Went wrong.
    Bad,
    /// In motion, or something to type.
    Accent,
}

impl Style {
    const fn code(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Strong => Some("1"),
            Self::Faint => Some("2"),
            Self::Good => Some("32"),
            Self::Attention => Some("33"),
            Self::Bad => Some("31"),
            Self::Accent => Some("36"),
        }
    }
}

/// Whether colours are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Paint {
    on: bool,
}

impl Paint {
    /// No colours.
    #[cfg(test)]
    pub(crate) const OFF: Self = Self { on: false };
    /// Colours.
    #[cfg(test)]
    pub(crate) const ON: Self = Self { on: true };

    /// Follows the flag, `NO_COLOR`, `CLICOLOR_FORCE`, `TERM=dumb` and what the stream is, in this order.
    pub(crate) fn detect(no_color: bool, terminal: bool) -> Self {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let forced = set("CLICOLOR_FORCE") && std::env::var_os("CLICOLOR_FORCE").is_some_and(|value| value != "0");
        let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        Self { on: !no_color && !set("NO_COLOR") && (forced || (terminal && !dumb)) }
    }

    /// Whether colours are used.
    pub(crate) const fn is_on(self) -> bool {
        self.on
    }

    /// The text in this style.
    pub(crate) fn apply(self, style: Style, text: &str) -> String {
        match style.code() {
            Some(code) if self.on && !text.is_empty() => format!("\x1b[{code}m{text}\x1b[0m"),
            _ => text.to_owned(),
        }
    }
}

/// The style of a request's status.
pub(crate) const fn status_style(status: RequestStatus) -> Style {
    match status {
        RequestStatus::Completed => Style::Good,
        RequestStatus::Failed => Style::Bad,
        RequestStatus::Held | RequestStatus::WaitingInput | RequestStatus::Paused => Style::Attention,
        RequestStatus::Claimed | RequestStatus::Processing => Style::Accent,
        RequestStatus::Cancelled => Style::Faint,
        RequestStatus::Blocked | RequestStatus::Pending | RequestStatus::Waiting => Style::Plain,
    }
}
