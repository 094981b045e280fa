//! Texts made harmless, and numbers in few digits.

/// A text as content or as a quoted attribute.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // Control characters are no part of HTML.
            c if c.is_control() && c != '\n' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// A text as a part of a file's name.
pub(super) fn file_name(text: &str) -> String {
    let safe = |c: char| if c.is_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '_' };
    let name: String = text.chars().take(80).map(safe).collect();
    if name.starts_with('.') { format!("_{name}") } else { name }
}

/// Three digits behind the point, fewer for large numbers, more for tiny ones.
pub(super) fn number(v: f64) -> String {
    let size = v.abs();
    if !v.is_finite() {
        "–".to_owned()
    } else if v == 0.0 {
        "0".to_owned()
    } else if size < 0.001 {
        format!("{v:.1e}")
    } else if size < 100.0 {
        format!("{v:.3}")
    } else {
        format!("{v:.0}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_gets_out_of_a_text() {
        assert_eq!(escape("<script>alert('x')</script>"), "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;");
        assert_eq!(escape("a\" onload=\"b & c\0"), "a&quot; onload=&quot;b &amp; c\u{fffd}");
        assert_eq!(file_name("../HLA-A/b"), "_.._HLA-A_b");
        assert_eq!(file_name("ERBB2"), "ERBB2");
    }

    #[test]
    fn numbers_are_short() {
        let all =
            [(0.0, "0"), (0.12345, "0.123"), (-3.0, "-3.000"), (1234.5, "1234"), (1e-5, "1.0e-5"), (f64::NAN, "–")];
        for (v, s) in all {
            assert_eq!(number(v), s);
        }
    }
}
