from __future__ import annotations

import pytest

# The suites live in the packages; a failed assert in them shall say as much as one in a test file.
pytest.register_assert_rewrite("chunker.testing", "targets.testing")
