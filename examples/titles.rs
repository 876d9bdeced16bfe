//! The library in a few lines: the papers of a feed, summarised by a model; ids and Chinese titles.
//!
//! `cargo run --release --example titles -- small examples/cs.CL-sample.xml`

use wenzhai::digest::Records;
use wenzhai::feed::Source;
use wenzhai::store::Store;
use wenzhai::writer::{Choices, Writer};
use wenzhai::{Error, pipeline};

fn main() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, feed] = &arguments[..] else { panic!("usage: titles MODEL FEED") };
    let writer = Writer::find(Choices::new(model)?, &mut ())?;
    let mut store = Store::in_memory()?;
    let mut run = store.begin(writer.identity(), false)?;
    let inputs = pipeline::read(&[Source::parse(feed)?], Default::default(), &mut run, &mut ())?;
    if let Some(error) = inputs.failed.into_iter().next() {
        return Err(error);
    }
    writer.load(&mut ())?.summarise(&mut run, &mut ())?;
    run.for_each_record(&mut |record| {
        println!("{}\t{}", record.id, record.zh_title);
        Ok(())
    })
}
