//! Curves as SVG.

use anyhow::{Result, anyhow};
use plotters::prelude::{ChartBuilder, IntoDrawingArea, LineSeries, RGBColor, SVGBackend, WHITE};

const SIZE: (u32, u32) = (720, 400);
const BLUE: RGBColor = RGBColor(31, 119, 180);

/// One curve over one axis.
pub(super) struct Plot {
    /// Name of the file, without its ending.
    pub(super) name: &'static str,
    pub(super) title: String,
    pub(super) x: &'static str,
    pub(super) y: &'static str,
    /// In the order of `x`.
    pub(super) points: Vec<(f64, f64)>,
}

impl Plot {
    /// The picture. Both axes begin at zero, so that nothing looks steeper than it is.
    ///
    /// # Errors
    /// When there is no point, or one is no number.
    pub(super) fn svg(&self) -> Result<String> {
        let (right, top) = (self.end(|point| point.0)?, self.end(|point| point.1)?);
        let mut svg = String::new();
        {
            let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
            area.fill(&WHITE)?;
            let mut chart = ChartBuilder::on(&area)
                .caption(&self.title, ("sans-serif", 18))
                .margin(12)
                .x_label_area_size(40)
                .y_label_area_size(60)
                .build_cartesian_2d(0.0..right, 0.0..top)?;
            chart
                .configure_mesh()
                .max_light_lines(1)
                .x_desc(self.x)
                .y_desc(self.y)
                .draw()?;
            let line = LineSeries::new(self.points.iter().copied(), &BLUE).point_size(3);
            chart.draw_series(line)?;
            area.present()?;
        }
        Ok(svg)
    }

    /// A little beyond the largest value, never zero.
    fn end(&self, of: impl Fn(&(f64, f64)) -> f64) -> Result<f64> {
        let largest = self.points.iter().map(of).reduce(f64::max);
        let largest = largest.ok_or_else(|| anyhow!("{}: no point to draw", self.name))?;
        anyhow::ensure!(largest.is_finite(), "{}: a point is no number", self.name);
        Ok((largest * 1.05).max(1e-6))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot(points: &[(f64, f64)]) -> Plot {
        Plot {
            name: "memory",
            title: "Memory over pods".to_owned(),
            x: "pods",
            y: "MiB",
            points: points.to_vec(),
        }
    }

    #[test]
    fn a_curve_has_a_line_a_dot_for_each_point_and_says_what_it_shows() {
        let svg = plot(&[(10.0, 9.0), (100.0, 12.0), (500.0, 20.0)])
            .svg()
            .unwrap();
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
        assert_eq!(svg.matches("<circle").count(), 3);
        for text in ["Memory over pods", "pods", "MiB", "<polyline"] {
            assert!(svg.contains(text), "no {text}: {svg}");
        }
    }

    #[test]
    fn a_curve_of_zeros_can_be_drawn_and_one_without_points_cannot() {
        assert!(plot(&[(0.0, 0.0)]).svg().is_ok());
        let error = plot(&[]).svg().unwrap_err().to_string();
        assert!(error.contains("no point"), "{error}");
        assert!(plot(&[(1.0, f64::INFINITY)]).svg().is_err());
    }
}
