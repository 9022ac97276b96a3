//! Parses and checks JSON in one pass. `serde_json` decodes strings, but it cannot do all of this: a visitor of it sees
//! no text of a number, and a `Value` keeps the last of two members with the same key.

use serde_json::{Map, Number, Value};

use super::{error::JsonError, relay::embed};

/// Maximum number of arrays and objects around a value in a request body, the outermost included.
///
/// Responses and events put at most six levels around a part of a body. So they stay below 64 levels, the default limit
/// of `System.Text.Json`, which is the lowest default that we know. `serde_json` stops at 128.
pub const MAX_DEPTH: usize = 48;

/// The start of the keys that `serde_json` reserves for itself. A request must not contain such a key. Some readers
/// parse a string under such a key as JSON again, with a new depth limit. [`embed`] uses such a key too.
const RESERVED: &str = "$serde_json::private::";

/// Parses JSON, and keeps the text of each number: see [`Relayed`](super::Relayed).
///
/// # Errors
/// - The text is not JSON (RFC 8259) in UTF-8.
/// - It is not I-JSON (RFC 7493): an object has a key twice, or a string has a lone surrogate.
/// - It is nested deeper than [`MAX_DEPTH`], or has a key that `serde_json` reserves.
pub fn parse(text: &[u8]) -> Result<Value, JsonError> {
    let fault = |reason, position| JsonError::at(reason, text, position);
    let checked = std::str::from_utf8(text)
        .map_err(|error| fault("the text is not UTF-8", error.valid_up_to()))?;
    if checked.starts_with('\u{feff}') {
        return Err(fault("JSON must not start with a byte order mark", 0));
    }
    let mut parser = Parser { text: checked, at: 0 };
    let value = parser.value(0)?;
    parser.skip_space();
    if parser.at < text.len() {
        return Err(parser.fault("unexpected text after the JSON value"));
    }
    Ok(value)
}

struct Parser<'a> {
    text: &'a str,
    /// Number of bytes that were read. Always at a boundary of characters.
    at: usize,
}

impl Parser<'_> {
    fn fault(&self, reason: &'static str) -> JsonError {
        let at_end = self.at >= self.text.len();
        let reason = if at_end { "the text ends inside the JSON value" } else { reason };
        JsonError::at(reason, self.text.as_bytes(), self.at)
    }

    fn fault_at(&self, reason: &'static str, position: usize) -> JsonError {
        JsonError::at(reason, self.text.as_bytes(), position)
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Reads this byte if it comes next.
    fn take(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Parses a value inside `depth` arrays and objects. The depth also bounds the recursion.
    fn value(&mut self, depth: usize) -> Result<Value, JsonError> {
        self.skip_space();
        match self.peek() {
            Some(b'{' | b'[') if depth == MAX_DEPTH => {
                Err(self.fault("JSON is nested deeper than 48 levels"))
            }
            Some(b'{') => self.object(depth + 1),
            Some(b'[') => self.array(depth + 1),
            Some(b'"') => self.string().map(Value::String),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => {
                for (name, value) in
                    [("null", Value::Null), ("true", true.into()), ("false", false.into())]
                {
                    if self.text[self.at..].starts_with(name) {
                        self.at += name.len();
                        return Ok(value);
                    }
                }
                Err(self.fault("expected a JSON value"))
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<Value, JsonError> {
        self.at += 1;
        let mut items = Vec::new();
        self.skip_space();
        if self.take(b']') {
            return Ok(Value::Array(items));
        }
        loop {
            let item = self.value(depth);
            items.push(item.map_err(|error| error.within(items.len().to_string()))?);
            self.skip_space();
            if self.take(b']') {
                return Ok(Value::Array(items));
            }
            if !self.take(b',') {
                return Err(self.fault("expected a comma or the end of the array"));
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value, JsonError> {
        self.at += 1;
        let mut members = Map::new();
        self.skip_space();
        if self.take(b'}') {
            return Ok(Value::Object(members));
        }
        loop {
            self.skip_space();
            let start = self.at;
            if self.peek() != Some(b'"') {
                return Err(self.fault("expected a key in quotes"));
            }
            let key = self.string()?;
            if key.starts_with(RESERVED) {
                let reason = "keys that start with $serde_json::private:: are not allowed";
                return Err(self.fault_at(reason, start));
            }
            if members.contains_key(&key) {
                return Err(self.fault_at("duplicate key", start).within(key));
            }
            self.skip_space();
            if !self.take(b':') {
                return Err(self.fault("expected a colon after the key"));
            }
            match self.value(depth) {
                Ok(value) => members.insert(key, value),
                Err(error) => return Err(error.within(key)),
            };
            self.skip_space();
            if self.take(b'}') {
                return Ok(Value::Object(members));
            }
            if !self.take(b',') {
                return Err(self.fault("expected a comma or the end of the object"));
            }
        }
    }

    /// Parses a string. `serde_json` decodes the escapes.
    fn string(&mut self) -> Result<String, JsonError> {
        let start = self.at;
        self.at += 1;
        let mut has_escape = false;
        loop {
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => {
                    has_escape = true;
                    // An escaped character outside of ASCII is not valid. The decoder refuses it.
                    self.at += 2;
                }
                Some(0x20..) => self.at += 1,
                _ => return Err(self.fault("a control character must be escaped")),
            }
        }
        self.at += 1;
        if !has_escape {
            return Ok(self.text[start + 1..self.at - 1].to_owned());
        }
        serde_json::from_str(&self.text[start..self.at]).map_err(|_| {
            self.fault_at("a string has a lone surrogate or an escape that is not valid", start)
        })
    }

    /// Parses a number. Keeps its text if the number of `serde_json` has another text.
    fn number(&mut self) -> Result<Value, JsonError> {
        let start = self.at;
        self.take(b'-');
        let starts_with_zero = self.peek() == Some(b'0');
        let digits = self.digits()?;
        if starts_with_zero && digits > 1 {
            return Err(self.fault_at("a number must not start with 0", start));
        }
        let mut is_integer = true;
        if self.take(b'.') {
            is_integer = false;
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            is_integer = false;
            let _ = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        let text = &self.text[start..self.at];
        let number = if !is_integer {
            text.parse().ok().and_then(Number::from_f64)
        } else if text == "-0" {
            None
        } else {
            let signed = || text.parse::<i64>().ok().map(Number::from);
            text.parse::<u64>().ok().map(Number::from).or_else(signed)
        };
        let same_text = |number: &Number| is_integer || number.to_string() == text;
        Ok(number.filter(same_text).map_or_else(|| embed(text), Value::Number))
    }

    /// Reads at least one digit, and returns the number of digits.
    fn digits(&mut self) -> Result<usize, JsonError> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == start {
            return Err(self.fault("expected a digit"));
        }
        Ok(self.at - start)
    }
}

#[cfg(test)]
mod tests;
