//! A path as the back end reads it that compares most loosely. Pure.

use icu_normalizer::DecomposingNormalizerBorrowed;

static NFKD: DecomposingNormalizerBorrowed<'static> = DecomposingNormalizerBorrowed::new_nfkd();

/// The loose form of `path`; `None` where programs could find other segments in it: an empty or dot segment, a parameter,
/// a backslash, bytes that are not UTF-8, a control character, or an escape that means something where it is not (RFC 3986
/// section 2.3: `%6f` is `o`).
///
/// Case, accents, widths and invisible characters are gone, and blanks before a segment, because some back end drops each.
pub(super) fn loose(path: &str) -> Option<String> {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !b";\\\"<>^`{|}#?".contains(&byte);
    // ASP.NET drops a segment such as `(S(x))`, which may hold a session's name.
    let is_session = |segment: &str| segment.starts_with('(') && segment.ends_with(')');
    if !path.starts_with('/') || !path.bytes().all(is_plain) || path.split('/').any(is_session) {
        return None;
    }
    // Many back ends read `+` as a blank.
    let folded = folded(&decoded(path)?.replace('+', " "));
    let inner = folded.strip_suffix('/').unwrap_or(&folded);
    let segments: Vec<_> = inner.split(['/', '\\']).skip(1).map(str::trim_start).collect();
    let are_clear = segments.iter().all(|segment| !is_dots(segment));
    are_clear.then(|| segments.iter().flat_map(|segment| ["/", segment]).collect())
}

/// Whether a back end could read `path` as one at or below `prefix`, both in their loose form.
pub(super) fn may_be_below(path: &str, prefix: &str) -> bool {
    let mut segments = path.split('/');
    prefix.split('/').all(|wanted| segments.next().is_some_and(|segment| may_mean(segment, wanted)))
}

/// Whether the segment is `wanted` with something behind it that a back end may cut off: a blank, a dot, `.json`, `:x`.
fn may_mean(segment: &str, wanted: &str) -> bool {
    segment.strip_prefix(wanted).is_some_and(|rest| !rest.starts_with(is_of_a_word))
}

fn is_of_a_word(char: char) -> bool {
    char.is_alphanumeric() || ['-', '_'].contains(&char)
}

/// Nothing, or `.` or `..` with something behind that a back end may cut off.
fn is_dots(segment: &str) -> bool {
    let rest = segment.trim_start_matches(|char: char| char == '.' || char.is_whitespace());
    segment.is_empty() || rest != segment && !rest.starts_with(is_of_a_word)
}

/// UTF-8 without control characters. Escaped is only what must be: blanks, and what is beyond ASCII.
fn decoded(path: &str) -> Option<String> {
    let mut parts = path.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let digits = part.get(..2).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
        let byte = u8::from_str_radix(digits, 16).ok().filter(|byte| *byte == b' ' || *byte >= 0x80)?;
        bytes.push(byte);
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    String::from_utf8(bytes).ok().filter(|text| !text.chars().any(char::is_control))
}

/// The same text for all that compare as equal in some program: `Ｏ`, `ⓞ`, `ö` and `O` are `o`, `ſ` is `s`, and the Kelvin
/// sign is `k`.
fn folded(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let bare: String = NFKD.normalize_iter(text.chars()).filter(|char| !is_accent_or_invisible(*char)).collect();
    bare.to_uppercase().to_lowercase()
}

fn is_accent_or_invisible(char: char) -> bool {
    let is_invisible = matches!(char, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{2064}' | '\u{feff}');
    is_invisible || matches!(char, '\u{300}'..='\u{36f}' | '\u{fe00}'..='\u{fe0f}')
}
