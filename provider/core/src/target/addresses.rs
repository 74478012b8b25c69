//! The addresses of one store, in the order in which they are wanted; usually one.
//!
//! Which of them is asked, and what makes the next one the better, is decided in `breaker` and by
//! whoever sends.

use std::fmt;

use super::{Address, BadAddress};
use crate::problem::{Problem, shown};

/// More would be no cluster, and each may cost a try within one Mount.
pub const MAX_ADDRESSES: usize = 8;

/// One to [`MAX_ADDRESSES`] different addresses of one store.
///
/// All of them are believed to be nodes of one cluster: a token of one is good at the others.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Addresses {
    first: Address,
    others: Vec<Address>,
}

impl Addresses {
    /// Reads URLs separated by commas; spaces around them do not count.
    ///
    /// # Errors
    /// The first thing wrong with the text, with `field` as its place: an entry that is empty, no
    /// address or there twice, or too many of them.
    pub fn parse(field: &str, text: &str) -> Result<Self, Problem> {
        Self::read(field, text, Address::parse)
    }

    /// Reads them as [`Address::parse_by_srv`] reads one.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn parse_by_srv(field: &str, text: &str) -> Result<Self, Problem> {
        Self::read(field, text, Address::parse_by_srv)
    }

    fn read(
        field: &str,
        text: &str,
        parse: fn(&str) -> Result<Address, BadAddress>,
    ) -> Result<Self, Problem> {
        let problem = |what: String, remedy: &str| Problem::new(field, what, remedy);
        let mut found: Vec<Address> = Vec::new();
        for entry in text.split(',') {
            // Only in a list: an address alone is taken as it stands.
            let entry = if text.contains(',') {
                entry.trim()
            } else {
                entry
            };
            if entry.is_empty() && text.contains(',') {
                return Err(problem(
                    format!("\"{}\" has an empty entry", shown(text)),
                    "separate addresses by single commas",
                ));
            }
            let address = parse(entry).map_err(|bad| {
                problem(
                    format!("\"{}\" {bad}", shown(entry)),
                    "write https://host:port, or unix:///path of a socket",
                )
            })?;
            if found.contains(&address) {
                return Err(problem(
                    format!("names {} twice", shown(&address.to_string())),
                    "name each address of the store once",
                ));
            }
            found.push(address);
        }
        if found.len() > MAX_ADDRESSES {
            return Err(problem(
                format!("names {} addresses", found.len()),
                "name at most 8 nodes of the store, or what stands before them",
            ));
        }
        let mut found = found.into_iter();
        let first = found
            .next()
            .ok_or_else(|| problem("names no address".to_owned(), "write https://host:port"))?;
        Ok(Self {
            first,
            others: found.collect(),
        })
    }

    /// The one that is wanted most.
    #[must_use]
    pub const fn first(&self) -> &Address {
        &self.first
    }

    /// All of them in their order.
    pub fn iter(&self) -> impl Iterator<Item = &Address> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// Whether there is another one to turn to.
    #[must_use]
    pub const fn are_several(&self) -> bool {
        !self.others.is_empty()
    }

    /// Whether SRV records are asked for any of them.
    #[must_use]
    pub fn are_by_srv(&self) -> bool {
        self.iter().any(Address::is_by_srv)
    }

    /// Host and port, or the path of the socket, of each: what a message shows.
    #[must_use]
    pub fn place(&self) -> String {
        self.joined(Address::place)
    }

    fn joined(&self, text: impl Fn(&Address) -> String) -> String {
        let texts: Vec<String> = self.iter().map(text).collect();
        texts.join(", ")
    }
}

impl From<Address> for Addresses {
    fn from(first: Address) -> Self {
        Self {
            first,
            others: Vec::new(),
        }
    }
}

impl fmt::Display for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.joined(Address::to_string))
    }
}

#[cfg(test)]
mod tests {
    use super::Addresses;

    fn read(text: &str) -> Result<String, String> {
        Addresses::parse("vaultAddress", text)
            .map(|addresses| addresses.to_string())
            .map_err(|problem| problem.to_string())
    }

    #[test]
    fn a_list_keeps_its_order_and_may_have_spaces() {
        for (text, expected, place) in [
            ("https://a", "https://a:443", "a:443"),
            (
                "https://B:8200/ , http://a:8200/vault",
                "https://b:8200, http://a:8200/vault",
                "b:8200, a:8200",
            ),
            (
                "unix:///run/v.sock,https://a",
                "unix:///run/v.sock, https://a:443",
                "/run/v.sock, a:443",
            ),
        ] {
            let addresses = Addresses::parse("vaultAddress", text).unwrap();
            assert_eq!(addresses.to_string(), expected, "{text}");
            assert_eq!(addresses.place(), place, "{text}");
            assert_eq!(addresses.are_several(), text.contains(','));
            assert_eq!(addresses.iter().next(), Some(addresses.first()));
        }
    }

    #[test]
    fn srv_records_are_asked_for_each_address_on_its_own() {
        let text = "https://a, https://b:443, unix:///s";
        let addresses = Addresses::parse_by_srv("vaultAddress", text).unwrap();
        assert_eq!(addresses.to_string(), text);
        assert_eq!(addresses.place(), "a, b:443, /s");
        let names: Vec<_> = addresses.iter().map(|address| address.srv_name()).collect();
        assert_eq!(names, [Some("_http._tcp.a".to_owned()), None, None]);
        assert!(addresses.are_by_srv());
        assert!(!Addresses::parse("vaultAddress", text).unwrap().are_by_srv());
        // With such records these two may be different servers.
        assert!(Addresses::parse_by_srv("vaultAddress", "https://a,https://a:443").is_ok());
    }

    #[test]
    fn what_is_no_list_of_addresses_names_field_and_entry() {
        for (text, expected) in [
            ("", "\"\" does not start with"),
            ("https://a,", "has an empty entry"),
            (",https://a", "has an empty entry"),
            ("https://a,,https://b", "has an empty entry"),
            ("https://a, ", "has an empty entry"),
            ("https://a,b:8200", "\"b:8200\" does not start with"),
            (
                "https://a https://b",
                "\"https://a https://b\" is not a URL",
            ),
            (
                "https://a,https://b,https://A:443/",
                "names https://a:443 twice",
            ),
        ] {
            let problem = read(text).unwrap_err();
            assert!(problem.starts_with("vaultAddress: "), "{problem}");
            assert!(problem.contains(expected), "{text}: {problem}");
        }
        let many: Vec<String> = (0..9).map(|at| format!("https://v{at}")).collect();
        assert!(read(&many[..8].join(",")).is_ok());
        assert!(read(&many.join(",")).unwrap_err().contains("9 addresses"));
    }
}
