//! The grammar: which bytes belong to a value. Depth is kept on the heap, so no document overflows.

use super::JsonFault;

/// Levels that encoding/json takes (`maxNestingDepth` in its scanner).
const MAX_DEPTH: usize = 10_000;

/// A place in a document.
pub(super) struct Scanner<'t> {
    text: &'t [u8],
    at: usize,
}

/// Blanks of JSON: neither NUL nor NBSP is among them.
pub(super) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

impl<'t> Scanner<'t> {
    pub(super) fn new(text: &'t [u8]) -> Self {
        Self { text, at: 0 }
    }

    /// One value with all that is inside it.
    pub(super) fn value(&mut self) -> Result<&'t [u8], JsonFault> {
        self.blanks();
        let start = self.at;
        let mut open: Vec<u8> = Vec::new();
        loop {
            self.blanks();
            match self.peek() {
                Some(bracket @ (b'{' | b'[')) => {
                    if open.len() == MAX_DEPTH {
                        return Err(self.fault("more than 10000 levels"));
                    }
                    self.at += 1;
                    open.push(bracket);
                    if !self.close(closing(bracket)) {
                        self.name_if(bracket)?;
                        continue;
                    }
                    open.pop();
                }
                _ => self.scalar()?,
            }
            if self.after_value(&mut open)? {
                return Ok(&self.text[start..self.at]);
            }
        }
    }

    /// Goes on behind a value: closes what ends there, or stops before the next one. True when the
    /// outermost value has ended.
    fn after_value(&mut self, open: &mut Vec<u8>) -> Result<bool, JsonFault> {
        while let Some(bracket) = open.last().copied() {
            if self.close(closing(bracket)) {
                open.pop();
            } else if self.comma() {
                self.name_if(bracket)?;
                return Ok(false);
            } else {
                return Err(self.fault("neither a comma nor the end"));
            }
        }
        Ok(true)
    }

    fn name_if(&mut self, bracket: u8) -> Result<(), JsonFault> {
        if bracket == b'{' {
            self.member_name()?;
        }
        Ok(())
    }

    /// The name of a member in its quotes, and the colon behind it.
    pub(super) fn member_name(&mut self) -> Result<&'t [u8], JsonFault> {
        self.blanks();
        let start = self.at;
        self.string()?;
        let name = &self.text[start..self.at];
        self.blanks();
        if self.peek() == Some(b':') {
            self.at += 1;
            return Ok(name);
        }
        Err(self.fault("no colon behind a name"))
    }

    /// Nothing but blanks up to the end.
    pub(super) fn end(&mut self) -> Result<(), JsonFault> {
        self.blanks();
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.fault("something behind the value")),
        }
    }

    /// Passes the opening bracket if it stands here.
    pub(super) fn open(&mut self, bracket: u8) -> Option<()> {
        (self.peek() == Some(bracket)).then(|| self.at += 1)
    }

    /// Passes blanks and the closing bracket if it stands behind them.
    pub(super) fn close(&mut self, bracket: u8) -> bool {
        self.blanks();
        let here = self.peek() == Some(bracket);
        self.at += usize::from(here);
        here
    }

    /// Passes blanks and a comma if it stands behind them.
    pub(super) fn comma(&mut self) -> bool {
        self.close(b',')
    }

    fn scalar(&mut self) -> Result<(), JsonFault> {
        match self.peek() {
            Some(b'"') => self.string(),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(_) => {
                let rest = &self.text[self.at..];
                let words: [&[u8]; 3] = [b"true", b"false", b"null"];
                let word = words.into_iter().find(|word| rest.starts_with(word));
                let word = word.ok_or_else(|| self.fault("no value"))?;
                self.at += word.len();
                Ok(())
            }
            None => Err(self.fault("the text ends too early")),
        }
    }

    fn string(&mut self) -> Result<(), JsonFault> {
        if self.peek() != Some(b'"') {
            return Err(self.fault("no double quote"));
        }
        self.at += 1;
        loop {
            match self.peek() {
                None => return Err(self.fault("a string without an end")),
                Some(b'"') => break,
                Some(b'\\') => self.escape()?,
                Some(0..=0x1f) => return Err(self.fault("a control character in a string")),
                Some(_) => self.at += 1,
            }
        }
        self.at += 1;
        Ok(())
    }

    fn escape(&mut self) -> Result<(), JsonFault> {
        let used = match self.text.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 2,
            Some(b'u') => 6,
            _ => return Err(self.fault("an unknown escape")),
        };
        let digits = self.text.get(self.at + 2..self.at + used);
        if !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
            return Err(self.fault("an unknown escape"));
        }
        self.at += used;
        Ok(())
    }

    fn number(&mut self) -> Result<(), JsonFault> {
        let start = self.at;
        self.at += usize::from(self.peek() == Some(b'-'));
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), Some(b'+' | b'-')));
            self.digits()?;
        }
        let number = std::str::from_utf8(&self.text[start..self.at]).unwrap_or_default();
        match number.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(()),
            _ => Err(self.fault("a number beyond a double")),
        }
    }

    fn digits(&mut self) -> Result<(), JsonFault> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == start {
            return Err(self.fault("a number without digits"));
        }
        Ok(())
    }

    fn blanks(&mut self) {
        while self.peek().is_some_and(is_blank) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn fault(&self, what: &'static str) -> JsonFault {
        JsonFault { what, at: self.at }
    }
}

fn closing(bracket: u8) -> u8 {
    if bracket == b'{' { b'}' } else { b']' }
}
