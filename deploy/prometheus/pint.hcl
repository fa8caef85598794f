# pint reads the rules for mistakes that promtool accepts:
#   pint --offline --config pint.hcl lint --min-severity info --fail-on info rules/*.yml

checks {
  disabled = [
    # A series of another group may be one evaluation old. That is meant: groups
    # run at different intervals, and none compares two series to the second.
    "rule/dependency",
  ]
}

rule {
  match {
    name = "Watchdog"
  }
  # It is there to fire always.
  disable = ["alerts/comparison"]
}
