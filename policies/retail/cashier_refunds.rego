# New with revision r2: a cashier may give back small sums, while the site is connected.
package retail.authz

allow if {
	input.action == "refund"
	input.role == "cashier"
	input.amount_cents <= data.retail.limits.cashier_refund_limit_cents
	not blocked
	not input.offline
}
