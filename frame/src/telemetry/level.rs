//! Log levels as people write them in a flag, and as the peers read them.

use tracing::level_filters::LevelFilter;

/// Least severe level that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Level {
    /// Everything.
    Trace,
    /// Also what changed nothing.
    Debug,
    /// What changed.
    Info,
    /// Failures and doubts.
    Warn,
    /// Bugs and what ends the process.
    Error,
    /// Nothing.
    Off,
}

/// A level as it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParsedLevel {
    /// What was read, or info.
    pub level: Level,
    /// False where the word is not a level: worth a warning, not a failed start.
    pub recognised: bool,
}

impl Level {
    /// From the most talkative to none.
    pub const ALL: [Self; 6] = [
        Self::Trace,
        Self::Debug,
        Self::Info,
        Self::Warn,
        Self::Error,
        Self::Off,
    ];

    /// Reads a level in any case, with blanks around it; an unknown word is info, as with the peers.
    #[must_use]
    pub fn parse(text: &str) -> ParsedLevel {
        let word = text.trim();
        let found = Self::ALL
            .into_iter()
            .find(|level| level.as_str().eq_ignore_ascii_case(word));
        ParsedLevel {
            level: found.unwrap_or(Self::Info),
            recognised: found.is_some(),
        }
    }

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
            Self::Off => "off",
        }
    }

    pub(super) const fn filter(self) -> LevelFilter {
        match self {
            Self::Trace => LevelFilter::TRACE,
            Self::Debug => LevelFilter::DEBUG,
            Self::Info => LevelFilter::INFO,
            Self::Warn => LevelFilter::WARN,
            Self::Error => LevelFilter::ERROR,
            Self::Off => LevelFilter::OFF,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Level, ParsedLevel};

    #[test]
    fn levels_are_read_as_the_peers_read_them() {
        for (text, level, recognised) in [
            ("trace", Level::Trace, true),
            ("DEBUG", Level::Debug, true),
            (" Info\n", Level::Info, true),
            ("warn", Level::Warn, true),
            ("Error", Level::Error, true),
            ("off", Level::Off, true),
            ("warning", Level::Info, false),
            ("", Level::Info, false),
            ("debug,h2=trace", Level::Info, false),
        ] {
            assert_eq!(
                Level::parse(text),
                ParsedLevel { level, recognised },
                "text {text:?}"
            );
        }
    }
}
