"""Words by which prose about numbers is read."""

from __future__ import annotations


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


# What follows one of these is said of the subject.
COPULAS = _set("""
    are be becomes equal equaling equalling equals is totals was were
""")
# Words that may stand between the verb and the value.
ADVERBS = _set("""
    a about also an approximately around at by clearly exactly hence indeed just now of only roughly
    simply still the then therefore thus to total
""")
# A sentence with one of these says what the value is not.
NEGATIONS = _set("""
    aren't can't cannot doesn't false impossible incorrect isn't neither never no nor not wasn't
    won't wrong
""")
# A number after one of these is a bound of the value.
BOUNDS = _set("""
    above after before below between beyond exceed exceeds least most over than under up within
""")
# What follows one of these limits what was said.
CONDITIONS = _set("""
    assuming except given if iff otherwise provided unless when whenever where
""")
# Arithmetic goes on across these words.
OPERATORS = _set("""
    and by double half minus of over per plus than thrice times twice with
""")
# A number after one of these is not the whole amount.
SCALES_BEFORE = _set("""
    double half minus percent plus quarter quarters third thirds thrice triple twice
""")
# A number before one of these is not the whole amount.
SCALES_AFTER = _set("""
    below choose cubed factorial fifths fourths halves hundred quarters squared tenths thirds
""")
# Words after a number with which it is another amount, or no amount at all.
OTHER_AMOUNTS = _set("""
    and are aren't at base below between but choose cubed divided eighths equal equals except factorial
    false fifths fourths from given half halves hundredths if incorrect is isn't least minus mod
    modulo most multiplied no nor not or over percent plus power provided quarters remainder sixths
    squared tenths than third thirds thousandths to unless up was were when whenever where wrong
""")
# Words of one or two letters that may begin a phrase after a number; other letters are variables.
SHORT_WORDS = _set("""
    a am an by cu he in it my of on pm so sq us we
""")
# Abbreviations that are units where they follow a number.
UNIT_SIGNS = _set("""
    mm cm dm km kg mg lb lbs oz ft in yd mi mL ml dL kL Hz kHz MHz kJ kW kWh kN Pa kPa mol ms ns min
    hr hrs sec sq cu mph kph kmh kmph hp GB MB kB KB TB bit bits byte cal kcal pct deg rad eV keV
    MeV amu atm bar USD EUR GBP
""")
# As patterns, of lower-case letters.
DAY = "(?:mon|tues|wednes|thurs|fri|satur|sun)day"
MONTH = "(?:january|february|march|april|june|july|august|september|october|november|december)"
