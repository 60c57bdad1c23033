//! The parts that pictures share: a font, colours, and conversion to a file.

use std::fmt::Display;

use plotters::style::{FontStyle, RGBColor, register_font};

/// The font of texts. A viewer of an SVG uses its own.
pub const FONT: &str = "sans-serif";
/// Printable ASCII of DejaVu Sans, for PNGs on machines without fonts.
const GLYPHS: &[u8] = include_bytes!("../assets/DejaVuSans-ascii.ttf");

/// The colour of texts and lines that are read first.
pub const INK: RGBColor = RGBColor(31, 41, 55);
/// The colour of those that are read second.
pub const FAINT: RGBColor = RGBColor(107, 114, 128);
/// The colour of grid lines, which are drawn first.
pub const GRID: RGBColor = RGBColor(229, 231, 235);

/// Registers the font. To be called before text is drawn.
pub fn register() -> Result<(), String> {
    let registered = register_font(FONT, FontStyle::Normal, GLYPHS);
    registered.map_err(|_| "the font is damaged".into())
}

/// Averages RGB dots: one for each square of `finer` by `finer` dots, because plotters does not smooth its lines.
pub fn smoothed(fine: &[u8], width: usize, finer: usize) -> Vec<u8> {
    let mut coarse = Vec::with_capacity(fine.len() / finer.pow(2));
    for rows in fine.chunks_exact(3 * width * finer) {
        for x in (0..width).step_by(finer) {
            for color in 0..3 {
                let dot = |i| u32::from(rows[3 * (i / finer * width + x + i % finer) + color]);
                let sum: u32 = (0..finer * finer).map(dot).sum();
                coarse.push((sum / finer.pow(2) as u32) as u8);
            }
        }
    }
    coarse
}

/// Returns a PNG of RGB dots.
pub fn png(dots: &[u8], width: u32, height: u32) -> Result<Vec<u8>, String> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_color(png::ColorType::Rgb);
    let mut writer = encoder.write_header().map_err(said)?;
    writer.write_image_data(dots).map_err(said)?;
    writer.finish().map_err(said)?;
    Ok(file)
}

/// Returns an error in words.
pub fn said(error: impl Display) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_are_means() {
        // Two by two dots of two by two finer ones, each of one grey.
        let greys = [0, 4, 8, 8, 4, 8, 8, 8, 0, 0, 1, 1, 0, 0, 1, 5];
        let fine: Vec<u8> = greys.iter().flat_map(|&grey| [grey; 3]).collect();
        let coarse: Vec<u8> = [4, 8, 0, 2].iter().flat_map(|&grey| [grey; 3]).collect();
        assert_eq!(smoothed(&fine, 4, 2), coarse);
    }
}
