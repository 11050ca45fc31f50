//! Where a key that is there twice stands for the second time: parsers show the map that it is in.

/// Line and column, from 1, of the second key of that name in the map that begins at `map`, if `message` is that a key is
/// there twice.
pub(super) fn second_place(text: &str, map: (usize, usize), message: &str) -> Option<(usize, usize)> {
    let key = message.split_once("duplicate field `")?.1.split_once('`')?.0;
    let start = text.lines().take(map.0.checked_sub(1)?).map(|l| l.len() + 1).sum::<usize>();
    let line = text.lines().nth(map.0 - 1)?;
    let column = line.char_indices().nth(map.1.checked_sub(1)?).map_or(line.len(), |(at, _)| at);
    let rest = text.get(start + column..)?;
    let at = if rest.starts_with('{') { in_braces(rest, key) } else { in_block(rest, key, column) }?;
    let before = &text[..start + column + at];
    let line_start = before.rfind('\n').map_or(0, |n| n + 1);
    Some((before.matches('\n').count() + 1, before[line_start..].chars().count() + 1))
}

/// Whether `text` begins with this key and its colon.
fn is_key(text: &str, key: &str) -> bool {
    let quoted = text.starts_with(['"', '\'']);
    let bare = if quoted { &text[1..] } else { text };
    bare.strip_prefix(key).is_some_and(|rest| {
        let rest = if quoted { rest.get(1..).unwrap_or_default() } else { rest };
        rest.trim_start_matches(' ').starts_with(':')
    })
}

/// The second key of a map in braces, which `text` begins with.
fn in_braces(text: &str, key: &str) -> Option<usize> {
    let (mut depth, mut quote, mut seen) = (0, None, 0);
    // Whether a key may begin here: after a brace or a comma.
    let mut fresh = false;
    for (at, c) in text.char_indices() {
        if depth == 1 && fresh && quote.is_none() && !c.is_whitespace() {
            seen += usize::from(is_key(&text[at..], key));
            if seen == 2 {
                return Some(at);
            }
        }
        if !c.is_whitespace() {
            fresh = quote.is_none() && matches!(c, '{' | ',');
        }
        match (quote, c) {
            (Some(q), _) if q == c => quote = None,
            (None, '"' | '\'') => quote = Some(c),
            (None, '{' | '[') => depth += 1,
            (None, '}' | ']') => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return None;
        }
    }
    None
}

/// The second key of a map in lines, which begins with `text` and whose keys are `indent` bytes from the left.
fn in_block(text: &str, key: &str, indent: usize) -> Option<usize> {
    let (mut at, mut seen) = (0, 0);
    for (i, line) in text.split_inclusive('\n').enumerate() {
        // The first line is cut off where the map begins.
        let (own, offset) = if i == 0 { (Some(line), 0) } else { (line.get(indent..), indent) };
        let blank = line.trim().is_empty() || line.trim_start().starts_with('#');
        if i > 0 && !blank && line.len() - line.trim_start_matches(' ').len() < indent {
            return None;
        }
        if own.is_some_and(|own| is_key(own, key)) {
            seen += 1;
            if seen == 2 {
                return Some(at + offset);
            }
        }
        at += line.len();
    }
    None
}

#[cfg(test)]
mod tests {
    use crate::catalog::{CatalogError, Device, GridEntry, parse};

    fn place(result: Result<(), CatalogError>) -> Option<(usize, usize)> {
        match result.expect_err("a key is there twice") {
            CatalogError::Invalid(fault) => fault.place,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn a_key_that_is_there_twice_is_shown_where_it_is_the_second_time() {
        let intensity = "intensity: {value: 300, unit: gCO2e/kWh, year: 2024, source: made up}\n";
        for (text, at) in [
            (format!("id: g\nname: A\n{intensity}name: B\n"), (4, 1)),
            (format!("# A comment.\nid: g\nname: A\nnotes: 'name: no'\n{intensity}\nname : B\n"), (7, 1)),
            (format!("id: g\nid: g\nname: A\n{intensity}"), (2, 1)),
            (format!("id: g\nname: A\nnotes: |\n  name: no\n{intensity}\"name\": B\n"), (6, 1)),
            ("id: g\nname: A\nintensity: {value: 300, unit: x, value: 4}\n".to_owned(), (3, 34)),
            (
                "id: g\nname: A\nintensity: {value: 300, source: \"{value: 1, value: 2}\",\n  value: 4}\n".to_owned(),
                (4, 3),
            ),
            ("id: g\nname: A\nintensity:\n  value: 300\n  unit: x\n  value: 4\n".to_owned(), (6, 3)),
            ("{id: g, name: A, id: h}".to_owned(), (1, 18)),
        ] {
            assert_eq!(place(parse::<GridEntry>("grid.yaml", &text).map(drop)), Some(at), "{text}");
        }
        let prices = "id: d\nname: D\nkind: gpu\nvendor: v\nprices:\n  - unit: USD/h\n    value: 1\n    value: 2\n";
        assert_eq!(place(parse::<Device>("d.yaml", prices).map(drop)), Some((8, 5)));
    }
}
