//! A reader for the flat JSON objects that the program prints, one a line. Strict: what is not JSON fails the test.

use std::iter::Peekable;
use std::str::Chars;

/// A value inside an object.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    /// A string.
    Text(String),
    /// An integer.
    Number(i64),
    /// `true` or `false`.
    Flag(bool),
    /// `null`.
    Null,
    /// An object inside the object.
    Object(Object),
}

/// An object: its fields in the order in which they stand.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Object(Vec<(String, Value)>);

impl Object {
    /// Reads one line.
    pub(crate) fn read(line: &str) -> Self {
        let mut reader = Reader { left: line.chars().peekable(), line };
        let object = reader.object();
        reader.skip_space();
        assert_eq!(reader.left.next(), None, "more than one object on the line {line:?}");
        object
    }

    /// The field of this name.
    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// The text of the field of this name, which must be there.
    pub(crate) fn text(&self, name: &str) -> &str {
        match self.get(name) {
            Some(Value::Text(text)) => text,
            other => panic!("{name} should be a string, is {other:?} in {self:?}"),
        }
    }

    /// The number in the field of this name, which must be there.
    pub(crate) fn number(&self, name: &str) -> i64 {
        match self.get(name) {
            Some(Value::Number(number)) => *number,
            other => panic!("{name} should be an integer, is {other:?} in {self:?}"),
        }
    }
}

/// Reads every line of an output.
pub(crate) fn read_lines(output: &str) -> Vec<Object> {
    output.lines().map(Object::read).collect()
}

struct Reader<'a> {
    left: Peekable<Chars<'a>>,
    line: &'a str,
}

impl Reader<'_> {
    fn fail(&self, what: &str) -> ! {
        panic!("{what} in the line {:?}", self.line)
    }

    fn skip_space(&mut self) {
        while self.left.next_if(|c| c.is_ascii_whitespace()).is_some() {}
    }

    fn expect(&mut self, wanted: char) {
        self.skip_space();
        if self.left.next() != Some(wanted) {
            self.fail(&format!("no {wanted:?} where one belongs"));
        }
    }

    fn object(&mut self) -> Object {
        self.expect('{');
        let mut fields = Vec::new();
        self.skip_space();
        if self.left.next_if_eq(&'}').is_some() {
            return Object(fields);
        }
        loop {
            self.skip_space();
            let key = self.string();
            self.expect(':');
            let value = self.value();
            fields.push((key, value));
            self.skip_space();
            match self.left.next() {
                Some(',') => {}
                Some('}') => return Object(fields),
                _ => self.fail("an object that does not end"),
            }
        }
    }

    fn value(&mut self) -> Value {
        self.skip_space();
        match self.left.peek() {
            Some('"') => Value::Text(self.string()),
            Some('{') => Value::Object(self.object()),
            _ => self.word(),
        }
    }

    fn word(&mut self) -> Value {
        let mut word = String::new();
        while let Some(c) = self.left.next_if(|c| c.is_ascii_alphanumeric() || *c == '-') {
            word.push(c);
        }
        match word.as_str() {
            "true" => Value::Flag(true),
            "false" => Value::Flag(false),
            "null" => Value::Null,
            _ => match word.parse() {
                Ok(number) => Value::Number(number),
                Err(_) => self.fail("neither a string nor an integer nor a flag"),
            },
        }
    }

    fn string(&mut self) -> String {
        self.expect('"');
        let mut text = String::new();
        loop {
            match self.left.next() {
                Some('"') => return text,
                Some('\\') => text.push(self.escaped()),
                Some(c) if !c.is_control() => text.push(c),
                _ => self.fail("a string that does not end"),
            }
        }
    }

    fn escaped(&mut self) -> char {
        match self.left.next() {
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some(c @ ('"' | '\\' | '/')) => c,
            Some('u') => self.code_point(),
            _ => self.fail("an unknown escape"),
        }
    }

    fn code_point(&mut self) -> char {
        let high = self.hex();
        let code = if (0xD800..0xDC00).contains(&high) {
            if self.left.next() != Some('\\') || self.left.next() != Some('u') {
                self.fail("half a surrogate pair");
            }
            let low = self.hex();
            if !(0xDC00..0xE000).contains(&low) {
                self.fail("half a surrogate pair");
            }
            0x1_0000 + ((high - 0xD800) << 10) + (low - 0xDC00)
        } else {
            high
        };
        char::from_u32(code).unwrap_or_else(|| self.fail("an escape that is no character"))
    }

    fn hex(&mut self) -> u32 {
        let mut code = 0;
        for _ in 0..4 {
            match self.left.next().and_then(|c| c.to_digit(16)) {
                Some(digit) => code = code * 16 + digit,
                None => self.fail("an escape without four digits"),
            }
        }
        code
    }
}
