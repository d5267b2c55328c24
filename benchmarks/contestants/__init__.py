"""What runs against what: functions that do one piece of work and return what they measured."""
