//! What a guest can ask its host for, by the words and tables of wasmdock/capabilities.py; a test holds both together.

/// The capabilities, in the order in which they are told.
pub const NAMES: [&str; 10] = [
    "arguments",
    "environment",
    "stdio",
    "files",
    "sockets",
    "http",
    "clocks",
    "random",
    "exit",
    "other",
];

/// Modules of WASI preview 1.
const PREVIEW1_MODULES: [&str; 2] = ["wasi_snapshot_preview1", "wasi_unstable"];

/// Functions of preview 1 by the longest prefix that fits; "" asks for nothing outside the guest.
const PREVIEW1: [(&str, &str); 12] = [
    ("args_", "arguments"),
    ("environ_", "environment"),
    ("fd_", "stdio"),
    ("fd_prestat_", "files"),
    ("fd_readdir", "files"),
    ("path_", "files"),
    ("sock_", "sockets"),
    ("clock_", "clocks"),
    ("poll_oneoff", "clocks"),
    ("random_", "random"),
    ("proc_", "exit"),
    ("sched_yield", ""),
];

/// Interfaces of components, likewise.
const INTERFACES: [(&str, &str); 11] = [
    ("wasi:cli/environment", "environment"),
    ("wasi:cli/exit", "exit"),
    ("wasi:cli/std", "stdio"),
    ("wasi:cli/terminal-", "stdio"),
    ("wasi:cli/types", ""),
    ("wasi:filesystem/", "files"),
    ("wasi:sockets/", "sockets"),
    ("wasi:http/", "http"),
    ("wasi:clocks/", "clocks"),
    ("wasi:random/", "random"),
    ("wasi:io/", ""),
];

/// Imports named for a capability that is refused.
const SHOWN: usize = 4;

/// One capability asked for, and the import that asks.
pub type Asked = (&'static str, String);

/// What the import of a core function asks for.
pub fn of_core(module: &str, name: &str) -> Option<Asked> {
    if PREVIEW1_MODULES.contains(&module) {
        return look_up(&PREVIEW1, name).map(|one| (one, name.to_string()));
    }
    Some(("other", format!("{module}.{name}")))
}

/// What a component's import of an interface asks for. The caller leaves out interfaces that only name types.
pub fn of_interface(name: &str) -> Option<Asked> {
    look_up(&INTERFACES, name).map(|one| (one, name.to_string()))
}

fn look_up(table: &[(&str, &'static str)], name: &str) -> Option<&'static str> {
    let fitting = table.iter().filter(|(prefix, _)| name.starts_with(prefix));
    let found = fitting.max_by_key(|(prefix, _)| prefix.len());
    Some(found.map_or("other", |(_, capability)| capability)).filter(|one| !one.is_empty())
}

/// `files,clocks`, or `all`, or `none`; `None` where a word is no capability.
pub fn parse(text: &str) -> Option<Vec<String>> {
    let words: Vec<&str> = text
        .split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty())
        .collect();
    match words[..] {
        [] => None,
        ["all"] => Some(NAMES.map(String::from).to_vec()),
        ["none"] => Some(Vec::new()),
        _ => words
            .iter()
            .all(|word| NAMES.contains(word))
            .then(|| words.into_iter().map(String::from).collect()),
    }
}

/// The refusal of a guest that asks for more than is granted: what is missing, and who imports it.
pub fn refusal(asked: &[Asked], is_granted: impl Fn(&str) -> bool, source: &str) -> Option<String> {
    let imports = |capability: &str| {
        let all: Vec<&str> = asked
            .iter()
            .filter(|(one, _)| *one == capability)
            .map(|(_, import)| import.as_str())
            .collect();
        (!all.is_empty()).then_some(all)
    };
    let missing: Vec<(&str, Vec<&str>)> = NAMES
        .iter()
        .filter(|name| !is_granted(name))
        .filter_map(|name| Some((*name, imports(name)?)))
        .collect();
    if missing.is_empty() {
        return None;
    }
    let names: Vec<&str> = missing.iter().map(|(name, _)| *name).collect();
    let mut text = format!(
        "the guest asks for {}, which {source} does not grant",
        names.join(", ")
    );
    for (name, imports) in missing {
        let shown = imports[..imports.len().min(SHOWN)].join(", ");
        let more = match imports.len().saturating_sub(SHOWN) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        text.push_str(&format!("\n{name}: imported as {shown}{more}"));
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_says_what_an_import_asks_for() {
        let asked = |name| of_core("wasi_snapshot_preview1", name).map(|(one, _)| one);
        assert_eq!(asked("fd_write"), Some("stdio"));
        assert_eq!(asked("fd_prestat_get"), Some("files"));
        assert_eq!(asked("sched_yield"), None);
        assert_eq!(asked("unheard_of"), Some("other"));
        let foreign = of_core("env", "log").unwrap();
        assert_eq!(foreign, ("other", "env.log".to_string()));
        assert_eq!(of_interface("wasi:io/streams@0.2.3"), None);
        assert_eq!(of_interface("wasi:cli/stdout@0.2.3").unwrap().0, "stdio");
    }

    #[test]
    fn lists_are_words_or_all_or_none() {
        assert_eq!(
            parse("files, exit"),
            Some(vec!["files".into(), "exit".into()])
        );
        assert_eq!(parse("all").unwrap().len(), NAMES.len());
        assert_eq!(parse("none"), Some(Vec::new()));
        assert_eq!(parse("file"), None);
        assert_eq!(parse(""), None);
    }

    #[test]
    fn a_refusal_names_what_is_missing_and_who_imports_it() {
        let asked = [
            ("exit", "proc_exit".to_string()),
            ("files", "path_open".to_string()),
        ];
        let said = refusal(&asked, |name| name == "exit", "WASMDOCK_ALLOW").unwrap();
        assert_eq!(
            said,
            "the guest asks for files, which WASMDOCK_ALLOW does not grant\nfiles: imported as path_open"
        );
        assert_eq!(refusal(&asked, |_| true, ""), None);
    }
}
