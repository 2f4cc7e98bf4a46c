"""The read side: status, generations, reports, exports, costs and audits. Nothing here changes a generation."""
