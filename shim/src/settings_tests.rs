//! The tests of settings.rs.

use super::*;

fn read(environment: &[(&str, &str)], annotations: &[(&str, &str)]) -> Result<Settings, String> {
    read_all(environment, annotations, &[])
}

fn read_all(
    environment: &[(&str, &str)],
    annotations: &[(&str, &str)],
    labels: &[(&str, &str)],
) -> Result<Settings, String> {
    let [environment, annotations, labels] =
        [environment, annotations, labels].map(|pairs| pairs.iter().copied());
    Settings::read(environment, annotations, labels)
}

#[test]
fn sizes_and_times_take_the_usual_units() {
    assert_eq!(bytes("64m"), Some(64 << 20));
    assert_eq!(bytes("1GiB"), Some(1 << 30));
    assert_eq!(bytes("4096"), Some(4096));
    assert_eq!(bytes("1x"), None);
    assert_eq!(count("1e+15"), Some(1_000_000_000_000_000));
    assert_eq!(count("1.5"), None);
    assert_eq!(milliseconds("1.5"), Some(1500));
    assert_eq!(milliseconds("500ms"), Some(500));
    assert_eq!(milliseconds("0"), None);
    assert_eq!(milliseconds("-1s"), None);
}

#[test]
fn environment_wins_over_label() {
    let label = [("wasmdock.timeout", "1s"), ("wasmdock.stack", "1m")];
    let settings = read_all(&[("WASMDOCK_TIMEOUT", "5s")], &[], &label).unwrap();
    assert_eq!(settings.timeout, Some(5000));
    assert_eq!(settings.stack, Some(1 << 20));
}

#[test]
fn the_stricter_of_environment_and_annotation_holds() {
    let settings = read(&[("WASMDOCK_FUEL", "5")], &[("wasmdock.fuel", "7")]).unwrap();
    assert_eq!(settings.fuel, Some(5));
    let settings = read(&[("WASMDOCK_FUEL", "9")], &[("wasmdock.fuel", "7")]).unwrap();
    assert_eq!(settings.fuel, Some(7));
    let settings = read(&[], &[("wasmdock.tables", "5e6")]).unwrap();
    assert_eq!(settings.tables, 5_000_000);
}

#[test]
fn an_image_cannot_grant_itself_what_an_annotation_withholds() {
    let image = [("WASMDOCK_ALLOW", "all")];
    let settings = read(&image, &[("wasmdock.allow", "stdio,exit")]).unwrap();
    assert!(settings.grants("exit") && !settings.grants("files"));
    assert_eq!(settings.granted_by, "wasmdock.allow");
    let settings = read(&[("WASMDOCK_DENY", "none")], &[("wasmdock.deny", "files")]).unwrap();
    assert!(settings.grants("exit") && !settings.grants("files"));
}

#[test]
fn the_authors_list_holds_until_another_is_given() {
    let author = [("dev.wasmdock.capabilities", "stdio")];
    assert!(!read_all(&[], &[], &author).unwrap().grants("files"));
    let other = read_all(&[("WASMDOCK_ALLOW", "files")], &[], &author).unwrap();
    assert!(other.grants("files") && !other.grants("stdio"));
    assert!(!Settings::default().limits_capabilities());
}

#[test]
fn senseless_stacks_and_capabilities_are_refused() {
    assert!(read(&[("WASMDOCK_STACK", "1k")], &[]).is_err());
    let message = read(&[("WASMDOCK_DENY", "fils")], &[]).unwrap_err();
    assert!(message.starts_with("reading WASMDOCK_DENY=fils: not a list of arguments, "));
}

#[test]
fn names_of_runwasi_are_understood() {
    let settings = read(&[("WASMTIME_HTTP_PROXY_SOCKET_ADDR", "127.0.0.1:80")], &[]).unwrap();
    assert_eq!(settings.address.port(), 80);
}

#[test]
fn folders_may_have_other_names_for_the_guest() {
    let settings = read(&[("WASMDOCK_DIRS", "/a::/,/b::/c")], &[]).unwrap();
    assert_eq!(settings.renamed[1], ("/b".into(), "/c".into()));
    assert!(read(&[("WASMDOCK_DIRS", "a")], &[]).is_err());
}

#[test]
fn a_wrong_value_names_the_variable_and_what_was_wanted() {
    let message = read(&[("WASMDOCK_MEMORY", "lots")], &[]).unwrap_err();
    assert_eq!(
        message,
        "reading WASMDOCK_MEMORY=lots: not a size like 64m or 1g"
    );
}

#[test]
fn other_variables_stay_with_the_guest() {
    assert!(!is_for_the_host("PATH"));
    assert!(!is_for_the_host("WASMDOCK_OTHER"));
    assert!(is_for_the_host("WASMDOCK_TIMEOUT"));
    assert!(is_for_the_host("WASMDOCK_LAUNCH"));
}
