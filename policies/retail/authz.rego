# Who may do what at a till.
#
# Input: user, role, action (pay, price, refund, telemetry), amount_cents, offline, device, class.
# While a site is cut off nobody can ask the bank, so the shop carries the risk of a payment: up to
# offline_limit_cents it may be taken, above that it must be refused. Money never goes back offline.
package retail.authz

# METADATA
# entrypoint: true
default allow := false

allow if {
	input.action == "pay"
	input.role in {"cashier", "manager"}
	input.amount_cents >= 0
	not blocked
	not over_the_offline_limit
}

allow if {
	input.action == "price"
	input.role in data.retail.limits.roles
}

allow if {
	input.action == "refund"
	input.role == "manager"
	input.amount_cents <= data.retail.limits.refund_limit_cents
	not blocked
	not input.offline
}

allow if {
	input.action == "telemetry"
	input.role == "device"
}

over_the_offline_limit if {
	input.offline
	input.amount_cents > data.retail.limits.offline_limit_cents
}

blocked if input.device in data.retail.limits.blocked_devices
