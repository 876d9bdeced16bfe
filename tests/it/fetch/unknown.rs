//! Files of a hub that no card knows: what is not verified by a SHA-256 is looked at.

use std::fs;
use std::io::Write;
use std::path::Path;

use wenzhai::error::Result;
use wenzhai::fetch::{Cache, LocalModel, Origins, ensure_from, resolve};

use super::server::{Server, head, send};
use super::{files_called, nothing, sha256};
use crate::support::tiny;

const PAGE: &[u8] = b"\n<HTML><body onload='signIn()'>Welcome to the guest network</body></HTML>";

/// Ends the data of [`gguf`], so that no byte of it is padding.
const DATA_BYTES: usize = 212;

/// A GGUF file of two tensors, written by hand: Q8_0 of 32 × 4 and, at the next multiple of 64, F32
/// of 5.
fn gguf() -> Vec<u8> {
    let mut file = b"GGUF".to_vec();
    let text = |file: &mut Vec<u8>, text: &str| {
        file.extend((text.len() as u64).to_le_bytes());
        file.extend(text.as_bytes());
    };
    file.extend(3_u32.to_le_bytes());
    file.extend([2_u64, 3].map(u64::to_le_bytes).concat());
    text(&mut file, "general.architecture");
    file.extend(8_u32.to_le_bytes());
    text(&mut file, "llama");
    text(&mut file, "general.alignment");
    file.extend([4_u32, 64].map(u32::to_le_bytes).concat());
    text(&mut file, "tokenizer.ggml.tokens");
    file.extend([9_u32, 8].map(u32::to_le_bytes).concat());
    file.extend(2_u64.to_le_bytes());
    text(&mut file, "a");
    text(&mut file, "文");
    for (name, dimensions, kind, offset) in
        [("a.weight", &[32_u64, 4][..], 8_u32, 0_u64), ("b.weight", &[5], 0, 192)]
    {
        text(&mut file, name);
        file.extend((dimensions.len() as u32).to_le_bytes());
        dimensions.iter().for_each(|length| file.extend(length.to_le_bytes()));
        file.extend(kind.to_le_bytes());
        file.extend(offset.to_le_bytes());
    }
    file.resize(file.len().next_multiple_of(64), 0);
    file.extend((0..DATA_BYTES).map(|i| i as u8));
    file
}

/// [`gguf`] with other bytes in place of the first `from`.
fn altered(from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut file = gguf();
    let at = file.windows(from.len()).position(|bytes| bytes == from).expect("bytes to alter");
    file.splice(at..at + from.len(), to.iter().copied());
    file
}

/// A hub that knows no SHA-256, nor anything else than the file.
fn hub_of(file: Vec<u8>) -> Server {
    Server::start(move |request, _, stream| send(stream, request, &file, usize::MAX))
}

fn fetch(cache: &Cache, origins: &Origins) -> Result<LocalModel> {
    ensure_from(&resolve("hf:o/r:m.gguf").expect("a spec"), cache, origins, &mut ())
}

fn check_refused(file: Vec<u8>, reason: &str) {
    let server = hub_of(file);
    let (_folder, cache, offline) = nothing();
    // Again, because the first may have left something that the second takes for a file.
    for _ in 0..2 {
        let error = fetch(&cache, &server.origins(&offline)).expect_err(reason);
        assert!(error.to_string().contains(reason), "{error} instead of {reason}");
        assert!(files_called("m.gguf", cache.root()).is_empty(), "{reason}");
    }
}

#[test]
fn a_page_that_asks_to_sign_in_is_not_taken_for_a_model() {
    let (_folder, cache, offline) = nothing();
    let error = fetch(&cache, &hub_of(PAGE.to_vec()).origins(&offline)).expect_err("a page");
    assert_eq!(
        error.to_string(),
        "cannot fetch m.gguf: hub o/r: delivers an HTML page instead of a GGUF file"
    );
    assert_eq!(
        error.hint_text(),
        Some(
            "a network that asks to sign in answers so: open any page in a browser, sign in, and \
             run this again"
        )
    );
    assert!(files_called("m.gguf", cache.root()).is_empty());
}

#[test]
fn the_example_of_such_a_page_is_refused_too() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/cases/sign-in-page.gguf");
    let Ok(page) = fs::read(&path) else {
        crate::support::skipped(format_args!("there is no {}", path.display()));
        return;
    };
    check_refused(page, "an HTML page instead of a GGUF file");
}

#[test]
fn whole_files_are_taken_whoever_wrote_them() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("tiny.gguf");
    tiny::write_model(&path, "qwen2", 7);
    for file in [gguf(), fs::read(path).expect("a model")] {
        let server = hub_of(file.clone());
        let (_folder, cache, offline) = nothing();
        let model = fetch(&cache, &server.origins(&offline)).expect("fetched");
        assert_eq!(model.sha256, Some(sha256(&file)));
        assert_eq!(fs::read(model.path).expect("the file"), file);
    }
}

#[test]
fn what_is_no_whole_gguf_file_is_refused_by_name() {
    let whole = gguf();
    let without_last = whole[..whole.len() - 1].to_vec();
    let needs = format!("it has {} bytes, and its tensors need {}", whole.len() - 1, whole.len());
    check_refused(without_last, &needs);
    check_refused(whole[..100].to_vec(), "it ends within its header, after 100 bytes");
    check_refused(b"GGUF".to_vec(), "it ends within its header, after 4 bytes");
    check_refused(b"{\"error\": \"none\"}".to_vec(), "a JSON text instead of");
    check_refused(b"PK\x03\x04\x14\x00\x00\x00".to_vec(), "a ZIP archive instead of");
    let safetensors = b"\x40\0\0\0\0\0\0\0{\"a\":{}}".to_vec();
    check_refused(safetensors, "a safetensors file instead of");
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n".to_vec();
    check_refused(pointer, "a pointer of Git LFS instead of");
    let escape = b"GG\x1b[31m nothing".to_vec();
    check_refused(escape, "begins with `GG\\u{1b}[31m nothing` instead of");
}

#[test]
fn headers_that_make_no_sense_are_refused() {
    let number = |number: u64| number.to_le_bytes();
    let counts = [2_u64, 3].map(number).concat();
    let many = [1 << 60, 3].map(number).concat();
    check_refused(altered(&counts, &many), "announces 1152921504606846976 tensors");
    let many = [2, 1 << 60].map(number).concat();
    check_refused(altered(&counts, &many), "announces 1152921504606846976 keys");
    check_refused(altered(b"GGUF\x03\0\0\0", b"GGUF\x09\0\0\0"), "it has version 9");
    check_refused(altered(b"GGUF\x03\0\0\0", b"GGUF\0\0\0\x03"), "it is big-endian");
    let dimensions = [&b"a.weight"[..], &[2, 0, 0, 0]].concat();
    let nine = [&b"a.weight"[..], &[9, 0, 0, 0]].concat();
    check_refused(altered(&dimensions, &nine), "a tensor has 9 dimensions");
    let huge = [&dimensions[..], &number(1 << 40), &number(1 << 40)].concat();
    let shape = [&dimensions[..], &number(32), &number(4)].concat();
    check_refused(altered(&shape, &huge), "its tensors need 18446744073709551615");
    let architecture = [&number(20)[..], b"general.arch"].concat();
    let long = [&number(1 << 50)[..], b"general.arch"].concat();
    check_refused(altered(&architecture, &long), "its header has more than 256 MiB");
    check_refused(altered(&[4, 0, 0, 0, 64, 0, 0, 0], &[4, 0, 0, 0, 65, 0, 0, 0]), "its alignment");
    check_refused(altered(&[8, 0, 0, 0, 5], &[99, 0, 0, 0, 5]), "a value of the unknown type 99");
}

#[test]
fn a_body_of_unknown_length_that_ends_early_is_sent_again() {
    let whole = gguf();
    let sent = whole.clone();
    let server = Server::start(move |request, before, stream| match (&*request.method, before) {
        // No length, no tag, nothing.
        ("HEAD", _) => head(stream, "200 OK", &[]),
        (_, 1) => {
            head(stream, "200 OK", &[])?;
            stream.write_all(&sent[..sent.len() - 1])
        }
        _ => send(stream, request, &sent, usize::MAX),
    });
    let (_folder, cache, offline) = nothing();
    let model = fetch(&cache, &server.origins(&offline)).expect("fetched");
    assert_eq!(fs::read(model.path).expect("the file"), whole);
    // Nothing tells whether it is the same file still, so it comes again and is compared.
    assert_eq!(server.ranges(), [None, None, None]);
}

/// What an address gives may change while it is fetched, and nothing else than the answers tells.
#[test]
fn parts_of_two_files_are_not_joined() {
    let (old, mut new) = (gguf(), gguf());
    let last = new.len() - 1;
    new[last] ^= 1;
    new[last - 100] ^= 1;
    let sent = new.clone();
    let server = Server::start(move |request, before, stream| {
        let (etag, file) = if before < 2 { ("\"abc\"", &old) } else { ("\"def\"", &sent) };
        let first = request.range.as_deref().and_then(|range| {
            range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok()
        });
        let first = first.unwrap_or(0);
        let total = file.len();
        let mut headers =
            vec![format!("etag: {etag}"), format!("content-length: {}", total - first)];
        let status = if first > 0 { "206 Partial Content" } else { "200 OK" };
        if first > 0 {
            headers.push(format!("content-range: bytes {first}-{}/{total}", total - 1));
        }
        head(stream, status, &headers)?;
        // The first GET breaks off.
        let end = if before == 1 { last - 50 } else { total };
        if request.method == "HEAD" { Ok(()) } else { stream.write_all(&file[first..end]) }
    });
    let (_folder, cache, offline) = nothing();
    let model = fetch(&cache, &server.origins(&offline)).expect("fetched");
    assert_eq!(fs::read(model.path).expect("the file"), new);
}

/// A run that was killed between the last byte and the new name, of a file whose size only the
/// storage tells.
#[test]
fn a_part_that_is_the_whole_file_is_finished() {
    let whole = gguf();
    let sent = whole.clone();
    let server = Server::start(move |request, before, stream| match (&*request.method, before) {
        ("HEAD", _) => head(stream, "200 OK", &["etag: \"v1\"".to_owned()]),
        (_, 1) => {
            head(stream, "200 OK", &["transfer-encoding: chunked".to_owned()])?;
            write!(stream, "{:x}\r\n", sent.len())?;
            // The last chunk, which says that it is the last, does not come.
            stream.write_all(&sent)
        }
        _ => {
            let range = format!("content-range: bytes */{}", sent.len());
            head(stream, "416 Range Not Satisfiable", &[range, "content-length: 0".to_owned()])
        }
    });
    let (_folder, cache, offline) = nothing();
    let mut origins = server.origins(&offline);
    origins.limits.tries = 1;
    fetch(&cache, &origins).expect_err("the connection broke off");
    origins.limits.tries = 4;
    let model = fetch(&cache, &origins).expect("finished");
    assert_eq!(fs::read(model.path).expect("the file"), whole);
}

/// A mirror sends to the hub, the hub tells size and hash and sends to its storage, on another host
/// again. What the storage says of itself counts for nothing.
#[test]
fn size_and_hash_are_those_of_the_hub_wherever_it_redirects_to() {
    let whole = gguf();
    let mut damaged = whole.clone();
    *damaged.last_mut().expect("a byte") ^= 1;
    for (delivered, expected) in [(whole.clone(), None), (damaged, Some("with SHA-256"))] {
        let (_folder, cache, offline) = nothing();
        let storage = hub_of(delivered);
        let to = format!("location: http://localhost:{}/blob", storage.port);
        let announced = [
            to,
            format!("x-linked-etag: \"{}\"", sha256(&whole)),
            format!("x-linked-size: {}", whole.len()),
            "etag: \"0123\"".to_owned(),
            "content-length: 0".to_owned(),
        ];
        let hub = Server::start(move |_, _, stream| head(stream, "302 Found", &announced));
        let to = format!("location: http://localhost:{}/o/r", hub.port);
        let mirror = Server::start(move |_, _, stream| {
            let headers = [to.clone(), "content-length: 0".to_owned()];
            head(stream, "308 Permanent Redirect", &headers)
        });
        let origins = Origins { hub_token: Some("hf_secret".into()), ..mirror.origins(&offline) };
        let outcome = fetch(&cache, &origins);
        match expected {
            None => assert_eq!(outcome.expect("fetched").sha256, Some(sha256(&whole))),
            Some(reason) => {
                let message = outcome.expect_err(reason).to_string();
                assert!(message.contains(reason), "{message}");
                assert!(files_called("m.gguf", cache.root()).is_empty());
            }
        }
        assert!(hub.requests().iter().all(|asked| asked.authorization.is_none()));
        assert!(mirror.requests().iter().all(|asked| asked.authorization.is_some()));
    }
}
