//! Instances that run all the time and are measured in turn, in short stretches: what disturbs the machine for some seconds
//! disturbs all of them.

use std::time::Duration;

use crate::driver::Throughput;
use crate::report::{grouped, median, spread};

/// What was measured of one instance.
#[derive(Debug, Default)]
pub struct Stretches(Vec<Stretch>);

#[derive(Clone, Copy, Debug)]
struct Stretch {
    per_second: f64,
    /// Processor time of the instance for one alert, in microseconds.
    cpu_micros: f64,
    driver_load: f64,
}

impl Stretches {
    /// Single alerts were answered, for which the instance took so much of the processor.
    pub fn add(&mut self, measured: &Throughput, cpu: Duration) {
        self.0.push(Stretch {
            per_second: measured.requests_per_second,
            cpu_micros: cpu.as_secs_f64() * 1e6 / measured.answers.accepted as f64,
            driver_load: measured.driver_load,
        });
    }

    /// The ratio to the other one within the last stretch of each.
    pub fn last_ratio(&self, to: &Self) -> f64 {
        let last = |of: &Self| of.0.last().map_or(f64::NAN, |stretch| stretch.per_second);
        last(self) / last(to)
    }

    /// The median of the ratios to the other one within each stretch.
    pub fn ratio(&self, to: &Self) -> f64 {
        median(self.0.iter().zip(&to.0).map(|(of, to)| of.per_second / to.per_second))
    }

    /// A line of the table: rate, rates of the stretches, ratio, processor time, load of the driver.
    pub fn row(&self, name: &str, to: &Self) -> Vec<String> {
        let of = |field: fn(&Stretch) -> f64| median(self.0.iter().map(field));
        vec![
            name.to_owned(),
            grouped(of(|stretch| stretch.per_second)),
            spread(self.0.iter().map(|stretch| stretch.per_second)),
            format!("{:.3}", self.ratio(to)),
            format!("{:.1}", of(|stretch| stretch.cpu_micros)),
            format!("{:.0} %", of(|stretch| stretch.driver_load) * 100.0),
        ]
    }
}
