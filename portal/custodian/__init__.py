"""The custodian process, for staff: what comes in, what is asked for, what leaves. Restricted."""
