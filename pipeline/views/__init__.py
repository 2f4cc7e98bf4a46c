"""The read side: status, generations, reports, exports, costs and audits. Nothing here moves a generation."""
