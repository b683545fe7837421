"""What was asked for, sent, paid and refused in a span of days: plain figures, read and never written."""
