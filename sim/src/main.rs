//! Runs seeds: each draws a world, work and faults, and is checked against what is promised.

use clap::Parser;
use e_pigeon_sim::many::{Plan, Sum, run_many};
use e_pigeon_sim::run::{Failure, Run};
use e_pigeon_sim::scenario::Scenario;
use e_pigeon_sim::shrink::{TRIES, shrink};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

/// Runs seeds of the simulator and says what they broke.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// How many seeds to run.
    #[arg(long, default_value_t = 2_000)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// On how many threads.
    #[arg(long, default_value_t = 1)]
    jobs: usize,
    /// Begin no further seed after so many that broke a promise.
    #[arg(long, default_value_t = 1)]
    failures: usize,
    /// Print what happens: times, frames, events. With --seeds 1.
    #[arg(long)]
    trace: bool,
    /// Tally why receipts are lower than what was handed on, in runs in which messages expire.
    #[arg(long)]
    receipts: bool,
    /// Print failures as they were drawn, without making them smaller.
    #[arg(long)]
    no_shrink: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        // A second one ends the program at once.
        let registered = signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&stop))
            .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&stop)));
        if let Err(error) = registered {
            eprintln!("signals cannot be caught: {error}");
            return ExitCode::from(2);
        }
    }
    if args.trace {
        return trace(&args);
    }
    let begin = Instant::now();
    let bar = progress(args.seeds);
    let plan = Plan {
        from: args.from,
        seeds: args.seeds,
        jobs: args.jobs,
        failures: args.failures.max(1),
        receipts: args.receipts,
        stop: &stop,
    };
    let sum = run_many(&plan, |sum| {
        bar.set_position(sum.seeds);
        if sum.seeds.is_multiple_of(64) {
            bar.set_message(figures(sum, begin));
        }
    });
    bar.finish_and_clear();
    print!("{}", sum.coverage);
    if args.receipts {
        let [calm, killed] = &sum.receipts;
        print!("without a death of the broker: {calm}with one: {killed}");
    }
    println!("{} seeds from {}: {}", sum.seeds, args.from, figures(&sum, begin));
    for failure in &sum.failures {
        report(failure, args.no_shrink);
    }
    if sum.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn progress(seeds: u64) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(seeds), ProgressDrawTarget::stderr_with_hz(5));
    // The template is a constant.
    if let Ok(style) = ProgressStyle::with_template("{wide_bar} {pos}/{len} seeds, {eta} left\n{msg}") {
        bar.set_style(style);
    }
    bar
}

fn figures(sum: &Sum, begin: Instant) -> String {
    let seconds = begin.elapsed().as_secs_f64().max(1e-9);
    let per_second = |count: u64| (count as f64 / seconds).round();
    format!(
        "{} seeds, {} steps, {} messages, {} cuts, {} crashes a second; {} failures",
        per_second(sum.seeds),
        per_second(sum.figures.steps),
        per_second(sum.figures.messages),
        per_second(sum.figures.cuts),
        per_second(sum.figures.crashes),
        sum.failures.len()
    )
}

fn report(failure: &Failure, no_shrink: bool) {
    println!("\nseed {}: {}", failure.seed, failure.violation);
    println!("see it with --from {} --seeds 1 --trace", failure.seed);
    if no_shrink {
        return;
    }
    let (run, violation) = shrink(&failure.run, &failure.violation, TRIES);
    println!("made smaller, it is {violation}\n\n{}", Scenario(&run));
}

/// Prints what happens in each seed; of one that breaks a promise, what is left when it was made smaller.
fn trace(args: &Args) -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    for seed in args.from..args.from.saturating_add(args.seeds) {
        let mut run = Run::from_seed(seed);
        if !args.no_shrink
            && let Err(violation) = run.execute().outcome
        {
            (run, _) = shrink(&run, &violation, TRIES);
        }
        let report = run.execute_traced();
        print!("{}", report.trace);
        if let Err(violation) = report.outcome {
            println!("seed {seed}: {violation}");
            code = ExitCode::FAILURE;
        }
    }
    code
}
