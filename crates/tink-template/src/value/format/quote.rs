//! Quoted strings, by Go's `strconv.Quote`.

/// The bytes as a Go string literal; with `ascii_only`, everything beyond ASCII is escaped.
pub(crate) fn quote(bytes: &[u8], ascii_only: bool) -> String {
    let mut out = String::with_capacity(bytes.len() + 2);
    out.push('"');
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            quote_char(&mut out, c, '"', ascii_only);
        }
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out.push('"');
    out
}

/// A character as a Go character constant.
pub(super) fn quote_rune(c: char, ascii_only: bool) -> String {
    let mut out = String::from('\'');
    quote_char(&mut out, c, '\'', ascii_only);
    out.push('\'');
    out
}

fn quote_char(out: &mut String, c: char, quote: char, ascii_only: bool) {
    match c {
        c if c == quote || c == '\\' => {
            out.push('\\');
            out.push(c);
        }
        '\u{7}' => out.push_str("\\a"),
        '\u{8}' => out.push_str("\\b"),
        '\u{c}' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\u{b}' => out.push_str("\\v"),
        c if c.is_ascii_graphic() || c == ' ' => out.push(c),
        c if c.is_ascii() => out.push_str(&format!("\\x{:02x}", u32::from(c))),
        c if !ascii_only && is_print(c) => out.push(c),
        c if u32::from(c) < 0x1_0000 => out.push_str(&format!("\\u{:04x}", u32::from(c))),
        c => out.push_str(&format!("\\U{:08x}", u32::from(c))),
    }
}

/// Go's `strconv.IsPrint`, as far as the standard library's tables tell.
pub(crate) fn is_print(c: char) -> bool {
    if c == ' ' {
        return true;
    }
    if c.is_control() || c.is_whitespace() {
        return false;
    }
    // Combining marks are printable for Go; `escape_debug` escapes them.
    c.is_alphanumeric() || !c.escape_debug().to_string().starts_with("\\u") || ('\u{300}'..='\u{36f}').contains(&c)
}

/// Whether the text can stand between back quotes.
pub(super) fn can_back_quote(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes)
        .is_ok_and(|text| text.chars().all(|c| c == '\t' || !(c < ' ' || c == '`' || c == '\u{7f}' || c == '\u{feff}')))
}
