//! Decimal arithmetic: Sprig adds 0.1 and 0.2 to 0.3.

use num_bigint::{BigInt, Sign};

use crate::exec::Fault;

/// Digits after the point that a division keeps.
const DIVISION_DIGITS: i32 = 16;

/// `digits * 10^exponent`
#[derive(Clone, Debug)]
pub(super) struct Decimal {
    digits: BigInt,
    exponent: i32,
}

impl Decimal {
    /// The shortest decimal that reads back as the float.
    pub(super) fn new(value: f64) -> Result<Self, Fault> {
        let unfit = || Fault::new("cannot calculate with NaN or an infinity");
        if !value.is_finite() {
            return Err(unfit());
        }
        let text = format!("{value:e}");
        let (mantissa, exponent) = text.split_once('e').ok_or_else(unfit)?;
        let decimals = mantissa.split_once('.').map_or(0, |(_, fraction)| fraction.len());
        let exponent: i32 = exponent.parse().map_err(|_| unfit())?;
        Ok(Self {
            digits: mantissa.replace('.', "").parse().map_err(|_| unfit())?,
            exponent: exponent - i32::try_from(decimals).map_err(|_| unfit())?,
        })
    }

    fn at_exponent(&self, exponent: i32) -> BigInt {
        &self.digits * ten_to(self.exponent - exponent)
    }

    pub(super) fn add(&self, other: &Self) -> Self {
        let exponent = self.exponent.min(other.exponent);
        Self { digits: self.at_exponent(exponent) + other.at_exponent(exponent), exponent }
    }

    pub(super) fn sub(&self, other: &Self) -> Self {
        self.add(&Self { digits: -&other.digits, exponent: other.exponent })
    }

    pub(super) fn mul(&self, other: &Self) -> Self {
        Self { digits: &self.digits * &other.digits, exponent: self.exponent + other.exponent }
    }

    /// Rounded half away from zero.
    pub(super) fn div(&self, other: &Self) -> Result<Self, Fault> {
        if other.digits.sign() == Sign::NoSign {
            return Err(Fault::new("decimal division by 0"));
        }
        let shift = self.exponent - other.exponent + DIVISION_DIGITS;
        let dividend = &self.digits * ten_to(shift);
        let divisor = &other.digits * ten_to(-shift);
        let mut quotient = &dividend / &divisor;
        let rest = &dividend - &quotient * &divisor;
        if rest.magnitude() * 2u8 >= *divisor.magnitude() {
            let negative = self.digits.sign() != other.digits.sign();
            quotient += if negative { -1 } else { 1 };
        }
        Ok(Self { digits: quotient, exponent: -DIVISION_DIGITS })
    }

    pub(super) fn to_float(&self) -> f64 {
        format!("{}e{}", self.digits, self.exponent).parse().unwrap_or(f64::NAN)
    }
}

/// `10^n`, or 1 for a negative `n`.
fn ten_to(n: i32) -> BigInt {
    BigInt::from(10).pow(u32::try_from(n).unwrap_or_default())
}
