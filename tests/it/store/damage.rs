//! What is no store, a store that is damaged, and a summary in it.

use super::*;

#[test]
fn refuses_what_is_no_store_of_its_own() {
    let (_folder, path) = scratch();
    let sql = |sql: &str| {
        rusqlite::Connection::open(&path).unwrap().execute_batch(sql).unwrap();
    };
    sql("CREATE TABLE recipes (name TEXT)");
    let foreign = "STORE is a database, but no store of wenzhai / give another store";
    assert_eq!(refusal(&path), foreign);

    std::fs::remove_file(&path).unwrap();
    drop(Store::open(&path).unwrap());
    sql("PRAGMA user_version = 7");
    let newer = "the store STORE was written by a newer wenzhai: its schema is 7, \
        this program knows 5 / update wenzhai, or give another store";
    assert_eq!(refusal(&path), newer);
}

#[test]
fn a_damaged_store_is_named_with_a_way_out() {
    let (_folder, path) = scratch();
    let damaged = "the store STORE is damaged, or no store at all / \
        move the file away; its papers are then summarised again";
    std::fs::write(&path, "this is not a database ".repeat(100)).unwrap();
    assert_eq!(refusal(&path), damaged);

    std::fs::remove_file(&path).unwrap();
    let mut store = Store::open(&path).unwrap();
    let mut run = store.begin(&identity(), false).unwrap();
    for number in 0..100 {
        run.offer(&paper(number, 1)).unwrap();
    }
    finish_all(&mut run);
    drop(store);
    // The first page stays: only what comes later is overwritten.
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[4096..].fill(0x5a);
    std::fs::write(&path, bytes).unwrap();
    let mut store = Store::open(&path).unwrap();
    let mut run = store.begin(&identity(), false).unwrap();
    let error = (0..100).find_map(|number| run.offer(&paper(number, 1)).err()).unwrap();
    assert!(error.to_string().contains("is damaged"), "{error}");
    assert!(error.hint_text().unwrap().starts_with("move the file away"));
}

/// What the child of [`a_killed_run_loses_nothing_that_was_finished`] does.

#[test]
fn a_damaged_summary_is_written_anew_whatever_is_damaged() {
    let damages = [
        "UPDATE summary SET zh_abstract = replace(zh_abstract, '落', '著')",
        "UPDATE summary SET zh_title = CAST(x'e9a2ff' AS TEXT)",
        "UPDATE summary SET flags = '[{'",
        "UPDATE summary SET retries = -1",
        "UPDATE summary SET version = 7",
        "UPDATE summary SET checksum = ''",
        "UPDATE summary SET fields = 'title,paragraph'",
        "UPDATE summary SET fields = 'title'",
    ];
    for damage in damages {
        let (_folder, path) = scratch();
        let paper = paper(1, 1);
        let mut store = Store::open(&path).unwrap();
        let mut run = store.begin(&identity(), false).unwrap();
        run.offer(&paper).unwrap();
        let pending = run.next(1).unwrap().remove(0);
        run.finish(&pending.ticket, &written("一")).unwrap();
        drop(store);
        let raw = rusqlite::Connection::open(&path).unwrap();
        assert_eq!(raw.execute(damage, []).unwrap(), 1);
        drop(raw);

        let mut store = Store::open(&path).unwrap();
        let mut run = store.begin(&identity(), false).unwrap();
        run.offer(&paper).unwrap();
        assert_eq!(run.damaged(), [paper.id.as_ref().unwrap().as_str()], "{damage}");
        assert_eq!(run.account().unwrap().pending, 1, "{damage}");
        let pending = run.next(1).unwrap().remove(0);
        run.finish(&pending.ticket, &written("一")).unwrap();
        let mut again = store.begin(&identity(), false).unwrap();
        again.offer(&paper).unwrap();
        assert_eq!((again.account().unwrap().reused, again.damaged().len()), (1, 0), "{damage}");
    }
}
