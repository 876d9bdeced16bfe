//! What a card of NVIDIA's needs before it can compute: a program that was built for it, the driver
//! in the kernel, the driver's library, and those of CUDA's toolkit. All of it is told by files, so
//! that nothing has to be loaded that may be missing.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use super::finding::{Finding, State};

/// The library of the driver; it comes with the driver, and not with CUDA.
const LIBRARY: &str = "libcuda.so.1";

/// Libraries of CUDA's toolkit that a program with the feature `cuda` loads, and the names that each
/// may have: those of CUDA 13, with which it is built.
const TOOLKIT: [[&str; 2]; 3] = [
    ["libcublas.so.13", "libcublas.so"],
    ["libcublasLt.so.13", "libcublasLt.so"],
    ["libcurand.so.10", "libcurand.so"],
];

/// Where `scripts/build-cuda --libraries` puts them, from the folder of the program on.
const BESIDE_PROGRAM: &str = "../toolkit/lib";

/// Folders where systems and containers have it, below the root: Debian's and Red Hat's, those of
/// Arm, WSL's, CUDA's own for newer libraries than the driver, and for the toolkit's.
const FOLDERS: [&str; 8] = [
    "usr/lib/x86_64-linux-gnu",
    "usr/lib/aarch64-linux-gnu",
    "usr/lib64",
    "usr/lib",
    "usr/lib/wsl/lib",
    "usr/local/nvidia/lib64",
    "usr/local/cuda/compat",
    "usr/local/cuda/lib64",
];

/// Where systems list the libraries that they know.
const CACHE: &str = "etc/ld.so.cache";

/// What is found below `root` of the cards of these numbers, for a program that was `built` for CUDA
/// or not. The last line says what is missing, if anything is, and how to go on.
pub(super) fn findings(root: &Path, numbers: &[usize], built: bool) -> Vec<Finding> {
    let of_user = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    let mut parts = vec![program(built)];
    parts.extend(numbers.iter().map(|&number| node(root, number)));
    parts.push(library(root, &of_user));
    // A program that was not built for cuda loads nothing of it.
    parts.extend(built.then(|| toolkit(root, &of_user)));
    let bad = parts.iter().filter(|part| part.state == State::Bad);
    let mut missing: Vec<&str> = bad.map(|part| part.what).collect();
    // Two cards are one thing to go and look for.
    missing.dedup();
    let whole = match missing.as_slice() {
        [] => Finding::good(
            "cuda",
            "all that files can tell is here; `wenzhai bench --device cuda` tries it",
        ),
        missing => Finding::of(
            "cuda",
            State::Bad,
            format!("--device cuda cannot work here: {} missing", listed(missing)),
            "digests are written without it, by --device cpu",
        ),
    };
    parts.into_iter().chain([whole]).collect()
}

fn program(built: bool) -> Finding {
    let what = "program for cuda";
    match built {
        true => Finding::good(what, "built with the feature cuda"),
        false => Finding::of(
            what,
            State::Bad,
            "this one was built without the feature cuda",
            "`scripts/build-cuda` builds one that has it",
        ),
    }
}

/// The file by which the kernel's driver lends the card. CUDA counts the cards that it sees: in a
/// container that was lent the fourth of a machine it is number 0.
fn node(root: &Path, number: usize) -> Finding {
    let what = "card";
    // WSL lends all cards by one file.
    const OF_WSL: &str = "dev/dxg";
    let wanted = format!("/dev/nvidia{number}");
    match cards(root).get(number) {
        Some(lent) => Finding::good(what, format!("/dev/nvidia{lent}")),
        None if root.join(OF_WSL).exists() => Finding::good(what, format!("/{OF_WSL}")),
        None if root.join("dev/nvidiactl").exists() => Finding::of(
            what,
            State::Bad,
            format!("the driver is loaded, and there is no {wanted}"),
            "`nvidia-smi -L` lists the cards; in a container, lend it this one",
        ),
        None => Finding::of(
            what,
            State::Bad,
            format!("there is no {wanted}"),
            "install NVIDIA's driver; in a container, start it with `--gpus all`",
        ),
    }
}

/// The numbers of the cards that have such a file, ascending.
fn cards(root: &Path) -> Vec<usize> {
    let entries = fs::read_dir(root.join("dev")).into_iter().flatten().flatten();
    let number = |entry: fs::DirEntry| {
        entry.file_name().to_str()?.strip_prefix("nvidia")?.parse::<usize>().ok()
    };
    let mut numbers: Vec<usize> = entries.filter_map(number).collect();
    numbers.sort_unstable();
    numbers
}

fn library(root: &Path, of_user: &OsStr) -> Finding {
    let what = "driver";
    match find_library(root, of_user, LIBRARY) {
        Some(path) => Finding::good(what, path.display().to_string()),
        None => Finding::of(
            what,
            State::Bad,
            format!("its library {LIBRARY} is nowhere"),
            "it comes with NVIDIA's driver; where it lies elsewhere, name its folder in \
             LD_LIBRARY_PATH",
        ),
    }
}

fn toolkit(root: &Path, of_user: &OsStr) -> Finding {
    let what = "toolkit";
    let program = std::env::current_exe().ok();
    let beside =
        program.as_deref().and_then(Path::parent).map(|folder| folder.join(BESIDE_PROGRAM));
    let find = |name: &&str| {
        let beside = beside.as_ref().map(|folder| folder.join(name)).filter(|path| path.exists());
        beside.or_else(|| find_library(root, of_user, name))
    };
    let found: Vec<Option<PathBuf>> =
        TOOLKIT.iter().map(|names| names.iter().find_map(find)).collect();
    let absent: Vec<&str> = TOOLKIT
        .iter()
        .zip(&found)
        .filter(|(_, path)| path.is_none())
        .map(|(names, _)| names[0])
        .collect();
    match (absent.as_slice(), found.into_iter().flatten().next()) {
        ([], Some(path)) => {
            let folder = path.parent().unwrap_or(&path).display().to_string();
            Finding::good(what, format!("libraries of CUDA 13 in {folder}"))
        }
        _ => Finding::of(
            what,
            State::Bad,
            format!("its libraries are nowhere: {}", absent.join(", ")),
            "`scripts/build-cuda --libraries` puts them beside the program; those of an installed \
             CUDA 13 will do: name their folder in LD_LIBRARY_PATH",
        ),
    }
}

/// A library, in the folders that a user names (LD_LIBRARY_PATH), that are known, or that the
/// system lists.
fn find_library(root: &Path, of_user: &OsStr, name: &str) -> Option<PathBuf> {
    let named = std::env::split_paths(of_user).filter(|folder| !folder.as_os_str().is_empty());
    let folders = named.chain(FOLDERS.iter().map(|folder| root.join(folder)));
    let in_folder = folders.map(|folder| folder.join(name)).find(|path| path.exists());
    in_folder.or_else(|| {
        // The list has names and paths as texts that end with a zero byte.
        let cache = fs::read(root.join(CACHE)).ok()?;
        let end = format!("/{name}");
        let texts =
            cache.split(|byte| *byte == 0).filter_map(|text| std::str::from_utf8(text).ok());
        let paths = texts.filter(|text| text.starts_with('/') && text.ends_with(&end));
        paths.map(|path| root.join(&path[1..])).find(|path| path.exists())
    })
}

/// `the card is`, `the card and the driver are`.
fn listed(names: &[&str]) -> String {
    let verb = if names.len() == 1 { "is" } else { "are" };
    let names: Vec<String> = names.iter().map(|name| format!("the {name}")).collect();
    let text = match names.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
        None => String::new(),
    };
    format!("{text} {verb}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A root with these files.
    fn root(files: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for file in files {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        root
    }

    #[track_caller]
    fn check(files: &[&str], built: bool, expected: &str) {
        let root = root(files);
        let found = findings(root.path(), &[0], built);
        let last = found.last().unwrap();
        assert_eq!(last.text, expected);
        let is_bad = found.iter().any(|finding| finding.state == State::Bad);
        assert_eq!(is_bad, expected.contains("missing"));
        let without_hint = |f: &&Finding| f.state == State::Bad && f.hint.is_none();
        assert_eq!(found.iter().filter(without_hint).count(), 0, "each says how to go on");
    }

    #[test]
    fn one_line_says_all_that_is_missing() {
        let start = "--device cuda cannot work here: ";
        let (node, library) = ("dev/nvidia0", "usr/lib64/libcuda.so.1");
        let toolkit = ["cublas.so.13", "cublasLt.so.13", "curand.so.10"];
        let toolkit = toolkit.map(|name| format!("usr/local/cuda/lib64/lib{name}"));
        let [blas, blas_lt, rand] = toolkit.each_ref().map(String::as_str);
        let good = "all that files can tell is here; `wenzhai bench --device cuda` tries it";
        check(&[node, library, blas, blas_lt, rand], true, good);
        let of_wsl = "usr/lib/wsl/lib/libcuda.so.1";
        check(&["dev/dxg", of_wsl, blas, blas_lt, rand], true, good);
        let all = "the program for cuda, the card and the driver are missing";
        check(&[], false, &format!("{start}{all}"));
        let parts = "the card, the driver and the toolkit are missing";
        check(&[], true, &format!("{start}{parts}"));
        check(&[node, blas, blas_lt, rand], true, &format!("{start}the driver is missing"));
        check(&[library, blas, blas_lt, rand], true, &format!("{start}the card is missing"));
        check(&[node, library, blas, rand], true, &format!("{start}the toolkit is missing"));
        // The only one that a container was lent is CUDA's number 0.
        check(&["dev/nvidia3", "dev/nvidiactl", library, blas, blas_lt, rand], true, good);
        check(&[node, library], false, &format!("{start}the program for cuda is missing"));
    }

    #[test]
    fn a_library_is_found_by_the_list_of_the_system_and_by_its_user() {
        let root = root(&["opt/driver/libcuda.so.1"]);
        let find = |of_user: &OsStr| find_library(root.path(), of_user, LIBRARY);
        assert_eq!(find(OsStr::new("")), None);
        let folder = root.path().join("opt/driver");
        assert_eq!(find(folder.as_os_str()), Some(folder.join(LIBRARY)));
        fs::create_dir_all(root.path().join("etc")).unwrap();
        let list = b"glibc-ld.so.cache1.1\0\xff\0libcuda.so.1\0/opt/driver/libcuda.so.1\0";
        fs::write(root.path().join(CACHE), list).unwrap();
        assert_eq!(find(OsStr::new("")), Some(folder.join(LIBRARY)));
    }
}
