//! Quadratic equations, which the usual formula does not solve where 2 = 0.
//!
//! x^2 + a x + b = 0 becomes z^2 + z = c with x = a z and c = b / a^2. The left side is linear over GF(2), so a table of
//! 32 words solves it (Berlekamp, Rumsey and Solomon 1967).

use crate::field::square;
use crate::kernel::Kernel;

/// The roots of x^2 + a x + b, if there are two different ones.
pub(crate) fn solve(kernel: Kernel, a: u32, b: u32) -> Option<[u32; 2]> {
    if a == 0 {
        return None;
    }
    let mut rest = kernel.mul(b, square(kernel.invert(a)));
    let mut z = 0;
    for (bit, step) in STEPS.iter().enumerate().rev() {
        if rest >> bit & 1 == 1 {
            rest ^= step.value;
            z ^= step.argument;
        }
    }
    let root = kernel.mul(a, z);
    (rest == 0).then_some([root, root ^ a])
}

/// An argument and its value under z^2 + z.
#[derive(Clone, Copy)]
struct Step {
    argument: u32,
    value: u32,
}

/// For each bit, a value of which it is the highest, if there is one; all zeros otherwise.
const STEPS: [Step; 32] = {
    let mut steps = [Step { argument: 0, value: 0 }; 32];
    let mut i = 0;
    while i < 32 {
        let mut argument = 1 << i;
        let mut value = square(argument) ^ argument;
        while value != 0 {
            let top = value.ilog2() as usize;
            if steps[top].value == 0 {
                steps[top] = Step { argument, value };
                break;
            }
            value ^= steps[top].value;
            argument ^= steps[top].argument;
        }
        i += 1;
    }
    steps
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn roots_are_found_if_there_are_any(r: u32, s: u32, a: u32, b: u32) {
            let kernel = Kernel::best();
            let mut expected = [r, s];
            expected.sort_unstable();
            let found = solve(kernel, r ^ s, kernel.mul(r, s)).map(|mut roots| {
                roots.sort_unstable();
                roots
            });
            prop_assert_eq!(found, (r != s).then_some(expected));

            // Half of all others have none.
            if let Some([r, s]) = solve(kernel, a, b) {
                prop_assert_eq!((r ^ s, kernel.mul(r, s)), (a, b));
            }
        }

        #[test]
        fn one_half_of_all_equations_has_roots(a in 1_u32..) {
            let kernel = Kernel::best();
            let solved = (0..1000_u32).filter(|b| solve(kernel, a, b.wrapping_mul(0x9e37_79b1)).is_some()).count();
            prop_assert!((350..650).contains(&solved));
        }
    }
}
