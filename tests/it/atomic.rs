//! Files that are either the old one or the whole new one.

use std::io::Write;
use std::path::Path;

use wenzhai::atomic::write_atomically;
use wenzhai::{Error, error::ErrorKind};

#[test]
fn writes_all_or_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("digest.md");
    let put = |text: &'static str| {
        move |out: &mut dyn Write| {
            out.write_all(text.as_bytes()).unwrap();
            Ok(())
        }
    };
    write_atomically(&path, put("one")).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "one");
    let failed = write_atomically(&path, |out| {
        out.write_all(b"half of tw").unwrap();
        Err(Error::new(ErrorKind::Engine, "out of breath"))
    });
    assert_eq!(failed.unwrap_err().to_string(), "out of breath");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "one");
    write_atomically(&path, put("three")).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "three");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "a temporary file was left");
    let nowhere = folder.path().join("no/such/folder.md");
    let message = write_atomically(&nowhere, put("x")).unwrap_err().to_string();
    assert_eq!(message, format!("cannot write {}", nowhere.display()));
}

#[cfg(unix)]
#[test]
fn keeps_permissions_and_links() {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    let folder = tempfile::tempdir().unwrap();
    let (file, link) = (folder.path().join("file.md"), folder.path().join("link.md"));
    fs::write(&file, "old").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    symlink(&file, &link).unwrap();
    write_atomically(&link, |out| {
        out.write_all(b"new").unwrap();
        Ok(())
    })
    .unwrap();
    assert_eq!(fs::read_to_string(&file).unwrap(), "new");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    write_atomically(Path::new("/dev/null"), |_| Ok(())).unwrap();
    assert!(!fs::metadata("/dev/null").unwrap().is_file());
}
