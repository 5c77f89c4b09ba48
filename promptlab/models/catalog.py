"""What is known of the API and its models, as of November 2026; nothing here is asked for."""

import re

#: How the API says, with status 400 or 429, that no money is left: no prompt and no waiting helps.
SPENT = re.compile(
    r"enforced_spend_limit_reached|usage limits|spend(?:ing)? limit|credit balance|billing", re.IGNORECASE
)
