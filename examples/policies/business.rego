# Environment and priority by what teams say on their alerts. Where a rule says nothing about an alert, the namespace and
# the tables decide. Everything that `input` holds: docs/classification.md.
package seawall

import rego.v1

# Canaries are an environment of their own, whatever namespace they run in.
environment := "canary" if input.labels.track == "canary"

# What these teams run earns money around the clock.
earning := {"checkout", "payments"}

priority := "P0" if {
	input.severity == "critical"
	input.environment == "production"
	input.labels.team in earning
} else := "P3" if {
	# Somebody works on it and has said so.
	input.annotations.maintenance == "true"
}
