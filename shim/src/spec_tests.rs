//! The tests of spec.rs.

use super::*;
use crate::launch::{Form, Tuning};
use crate::settings::Settings;

fn launch() -> Launch {
    Launch {
        code: "/dev/.wasmdock/code".into(),
        tuning: Tuning {
            form: Form::Module,
            fuel: false,
            epochs: false,
        },
        export: None,
        folders: Vec::new(),
        settings: Settings::default(),
        fault: None,
        compiled: None,
    }
}

fn mount(destination: &str, source: &str, options: &[&str]) -> Value {
    json!({"destination": destination, "source": source, "type": "bind", "options": options})
}

#[test]
fn only_the_users_mounts_are_granted() {
    let spec = json!({"mounts": [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/dev/shm", "type": "tmpfs", "source": "shm"},
        mount("/etc/hosts", "/var/lib/x/hosts", &["rbind"]),
        mount("/data", "/host/data", &["rbind", "ro"]),
        mount("/out/", "/host/out", &["rbind", "rw"]),
        {"destination": "/scratch", "type": "tmpfs", "source": "tmpfs"},
    ]});
    let grants = grants(&spec, "/dev/.wasmdock", |_| true);
    let seen: Vec<_> = grants
        .folders
        .iter()
        .map(|folder| (folder.guest.as_str(), folder.writable))
        .collect();
    assert_eq!(seen, [("/data", false), ("/out", true), ("/scratch", true)]);
    assert!(grants.files.is_empty());
}

#[test]
fn a_single_file_gets_a_folder_of_its_own() {
    let spec = json!({"mounts": [
        mount("/run/secrets/a", "/host/a", &["ro"]),
        mount("/run/secrets/b", "/host/b", &["ro"]),
    ]});
    let grants = grants(&spec, "/base", |_| false);
    assert_eq!(
        grants.files[1],
        ("/host/b".into(), "/base/files/0/b".into(), false)
    );
    assert_eq!(grants.folders.len(), 1);
    assert_eq!(grants.folders[0].guest, "/run/secrets");
    assert_eq!(grants.folders[0].host, "/base/files/0");
}

#[test]
fn our_mounts_go_to_the_containers_dev_where_that_is_its_own() {
    let own = json!({"mounts": [{"destination": "/dev", "type": "tmpfs"}]});
    let shared = json!({"mounts": [mount("/dev", "/dev", &["rbind"])]});
    assert_eq!(base(&own), "/dev/.wasmdock");
    assert_eq!(base(&shared), "/.wasmdock");
}

#[test]
fn the_containers_memory_limit_leaves_room_for_the_host() {
    let spec = |limit: i64| json!({"linux": {"resources": {"memory": {"limit": limit}}}});
    assert_eq!(memory_limit(&spec(128 << 20)), Some(112 << 20));
    assert_eq!(memory_limit(&spec(8 << 20)), Some(4 << 20));
    assert_eq!(memory_limit(&spec(-1)), None);
    assert_eq!(memory_limit(&json!({})), None);
}

#[test]
fn the_program_stands_behind_an_init() {
    let arguments = |all: &[&str]| all.iter().map(|one| one.to_string()).collect::<Vec<_>>();
    assert_eq!(
        program_index(&arguments(&["/sbin/docker-init", "--", "/a"])),
        2
    );
    assert_eq!(program_index(&arguments(&["/app.wasm", "--", "x"])), 0);
}

#[test]
fn process_1_becomes_the_host_with_the_guests_arguments_behind() {
    let mut spec = json!({"process": {
        "args": ["/sbin/docker-init", "--", "/app.wasm", "x"],
        "env": ["A=1", "WASMDOCK_LAUNCH=forged"],
        "capabilities": {"effective": ["CAP_CHOWN", "CAP_DAC_OVERRIDE"], "bounding": ["CAP_KILL"]},
    }});
    install(&mut spec, "/dev/.wasmdock/wasmdock-host", vec![], &launch());
    let process = &spec["process"];
    assert_eq!(
        process["args"],
        json!([
            "/sbin/docker-init",
            "--",
            "/dev/.wasmdock/wasmdock-host",
            "/app.wasm",
            "x"
        ])
    );
    let env = process["env"].as_array().unwrap();
    assert_eq!(env.len(), 2);
    assert!(!env[1].as_str().unwrap().contains("forged"));
    assert_eq!(process["noNewPrivileges"], json!(true));
    assert_eq!(process["capabilities"]["effective"], json!([]));
    assert_eq!(process["capabilities"]["bounding"], json!([]));
}

#[test]
fn a_guest_with_folders_keeps_the_two_capabilities_it_needs() {
    let mut launch = launch();
    launch.folders = vec![Folder {
        host: "/data".into(),
        guest: "/data".into(),
        writable: true,
    }];
    let mut process =
        json!({"args": ["/a"], "capabilities": {"effective": ["CAP_CHOWN", "CAP_DAC_OVERRIDE"]}});
    install_process(&mut process, "/host", &launch);
    assert_eq!(
        process["capabilities"]["effective"],
        json!(["CAP_DAC_OVERRIDE"])
    );
}

#[test]
fn the_guest_sees_its_name_without_the_export() {
    let mut launch = launch();
    launch.export = Some("run".into());
    let mut process = json!({"args": ["/app.wasm#run", "x"]});
    install_process(&mut process, "/host", &launch);
    assert_eq!(process["args"], json!(["/host", "/app.wasm", "x"]));
}

#[test]
fn a_granted_folder_can_have_another_name() {
    let spec = json!({"mounts": [mount("/.wasmdock/root", "/host/x", &["ro"])]});
    let mut grants = grants(&spec, "/base", |_| true);
    grants
        .rename(&[("/.wasmdock/root".into(), "/".into())])
        .unwrap();
    assert_eq!(grants.folders[0].guest, "/");
    assert!(grants.rename(&[("/other".into(), "/".into())]).is_err());
}

#[test]
fn the_images_folders_are_shown_without_those_of_the_kernel() {
    let names = || {
        ["etc", "proc", "sys", "dev", "data"]
            .map(String::from)
            .into_iter()
    };
    assert!(image_folders(Rootfs::Hidden, names()).is_empty());
    let shown = image_folders(Rootfs::ReadOnly, names());
    let guests: Vec<_> = shown.iter().map(|folder| folder.guest.as_str()).collect();
    assert_eq!(guests, ["/etc", "/data"]);
    assert!(!shown[0].writable);
}
