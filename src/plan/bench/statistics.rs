//! Median, minimum and maximum: of few runs on a machine that does other things too, there is nothing else to
//! be said. A mean would be led by the one run that was disturbed.

use serde::Serialize;

/// How numbers of the same thing lie.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread<T> {
    /// The one in the middle; of an even number, half way between the two in the middle.
    pub median: T,
    /// The smallest.
    pub min: T,
    /// The largest.
    pub max: T,
}

impl Spread<f64> {
    /// Of any numbers; of none there is nothing to say.
    pub fn of(numbers: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = numbers.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        of_sorted(&sorted, |low, high| low + (high - low) / 2.0)
    }

    /// From the smallest to the largest, as a part of the median: 0.25 is a quarter of it.
    pub fn relative(&self) -> f64 {
        if self.median > 0.0 { (self.max - self.min) / self.median } else { 0.0 }
    }
}

impl Spread<u64> {
    /// Of whole numbers.
    pub fn of_whole(numbers: impl IntoIterator<Item = u64>) -> Option<Self> {
        let mut sorted: Vec<u64> = numbers.into_iter().collect();
        sorted.sort_unstable();
        of_sorted(&sorted, |low, high| low + (high - low) / 2)
    }
}

fn of_sorted<T: Copy>(sorted: &[T], between: impl Fn(T, T) -> T) -> Option<Spread<T>> {
    let (min, max) = (*sorted.first()?, *sorted.last()?);
    // Of an odd number, both are the same one.
    let (low, high) = (*sorted.get((sorted.len() - 1) / 2)?, *sorted.get(sorted.len() / 2)?);
    Some(Spread { median: between(low, high), min, max })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle_whatever_the_order() {
        assert_eq!(Spread::of([3.0, 1.0, 9.0]), Some(Spread { median: 3.0, min: 1.0, max: 9.0 }));
        assert_eq!(Spread::of([4.0, 1.0, 9.0, 2.0]), Some(Spread { median: 3.0, min: 1.0, max: 9.0 }));
        assert_eq!(Spread::of([5.0]), Some(Spread { median: 5.0, min: 5.0, max: 5.0 }));
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn whole_numbers_stay_whole_however_large() {
        assert_eq!(Spread::of_whole([1, 4]), Some(Spread { median: 2, min: 1, max: 4 }));
        let large = Spread { median: u64::MAX - 1, min: u64::MAX - 2, max: u64::MAX };
        assert_eq!(Spread::of_whole([u64::MAX, u64::MAX - 2]), Some(large));
    }

    #[test]
    fn how_far_apart_they_are_is_told_by_the_median() {
        assert_eq!(Spread::of([8.0, 10.0, 12.0]).unwrap().relative(), 0.4);
        assert_eq!(Spread::of([0.0, 0.0, 1.0]).unwrap().relative(), 0.0, "there is nothing to compare with");
    }
}
