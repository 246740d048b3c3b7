//! The picture of a run: throughput and latency over time.

use std::path::Path;

use anyhow::{Context, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;

use super::seen::{Quantiles, Second, Window};

const SIZE: (u32, u32) = (960, 640);
const TEXT: (&str, u32) = ("sans-serif", 14);
/// Latencies are drawn on a logarithmic axis, which has no zero.
const LATENCY_MS_MIN: f64 = 0.1;

type Panel<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Draws it, as SVG. The measured time is marked.
pub(super) fn draw(file: &Path, title: &str, seconds: &[Second], window: Window) -> anyhow::Result<()> {
    let mut svg = String::new();
    {
        let all = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        all.fill(&WHITE).map_err(|it| anyhow!("{it}"))?;
        let all = all.titled(title, ("sans-serif", 20)).map_err(|it| anyhow!("{it}"))?;
        let (above, below) = all.split_vertically(SIZE.1 / 2 - 20);
        let span = 0.0..seconds.len().max(1) as f64;
        throughput(&above, seconds, span.clone(), window).map_err(|it| anyhow!("{it}"))?;
        latency(&below, seconds, span, window).map_err(|it| anyhow!("{it}"))?;
        all.present().map_err(|it| anyhow!("{it}"))?;
    }
    std::fs::write(file, svg).with_context(|| format!("the picture cannot be written to {}", file.display()))
}

fn throughput(
    panel: &Panel<'_>,
    seconds: &[Second],
    span: std::ops::Range<f64>,
    window: Window,
) -> Result<(), Box<dyn std::error::Error>> {
    let most = seconds.iter().map(|it| it.done).max().unwrap_or_default() as f64 * 1.1 + 1.0;
    let mut chart = ChartBuilder::on(panel)
        .margin(12)
        .x_label_area_size(32)
        .y_label_area_size(72)
        .build_cartesian_2d(span, 0.0..most)?;
    chart.configure_mesh().y_desc("done, 1/s").label_style(TEXT).axis_desc_style(TEXT).draw()?;
    let marked = [(window.from.as_secs_f64(), 0.0), (window.until.as_secs_f64(), most)];
    chart.draw_series([Rectangle::new(marked, BLUE.mix(0.06).filled())])?;
    let points = seconds.iter().map(|it| (it.at_s as f64 + 0.5, it.done as f64));
    chart.draw_series(LineSeries::new(points, BLUE.stroke_width(2)))?;
    Ok(())
}

fn latency(
    panel: &Panel<'_>,
    seconds: &[Second],
    span: std::ops::Range<f64>,
    window: Window,
) -> Result<(), Box<dyn std::error::Error>> {
    let latencies = || seconds.iter().filter_map(|it| Some((it.at_s as f64 + 0.5, it.latency?)));
    let most = latencies().map(|it| it.1.max_ms).fold(1.0, f64::max) * 1.5;
    let mut chart = ChartBuilder::on(panel)
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(72)
        .build_cartesian_2d(span, (LATENCY_MS_MIN..most).log_scale())?;
    let mesh = &mut chart.configure_mesh();
    mesh.x_desc("seconds").y_desc("latency, ms").label_style(TEXT).axis_desc_style(TEXT).draw()?;
    let marked = [(window.from.as_secs_f64(), LATENCY_MS_MIN), (window.until.as_secs_f64(), most)];
    chart.draw_series([Rectangle::new(marked, BLUE.mix(0.06).filled())])?;
    for (index, (name, color)) in [("p50", BLUE), ("p99", MAGENTA), ("max", BLACK)].into_iter().enumerate() {
        let points = latencies().map(|(at_s, Quantiles { p50_ms, p99_ms, max_ms, .. })| {
            (at_s, [p50_ms, p99_ms, max_ms][index].max(LATENCY_MS_MIN))
        });
        chart
            .draw_series(LineSeries::new(points, color.stroke_width(2)))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], color.stroke_width(2)));
    }
    chart.configure_series_labels().background_style(WHITE.mix(0.8)).label_font(TEXT).draw()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_picture_has_both_panels_and_says_what_it_shows() {
        let file = std::env::temp_dir().join(format!("millrace-picture-{}.svg", std::process::id()));
        let latency = Some(Quantiles {
            count: 100,
            p50_ms: 5.0,
            p90_ms: 9.0,
            p99_ms: 20.0,
            p999_ms: 30.0,
            max_ms: 40.0,
        });
        let second = |at_s| Second { at_s, done: 100 + at_s, latency };
        let seconds: Vec<Second> = (0..30).map(second).collect();
        let window = Window { from: Duration::from_secs(5), until: Duration::from_secs(25) };
        draw(&file, "w1 at 100/s", &seconds, window).unwrap();
        let svg = std::fs::read_to_string(&file).unwrap();
        std::fs::remove_file(&file).unwrap();
        for text in ["w1 at 100/s", "done, 1/s", "latency, ms", "p50", "p99", "max"] {
            assert!(svg.contains(text), "{text}");
        }
        // Nothing was done: there is a picture all the same.
        draw(&file, "nothing", &[], window).unwrap();
        std::fs::remove_file(&file).unwrap();
    }
}
