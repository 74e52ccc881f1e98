# Survival by stage from the first tumour of each patient: Kaplan-Meier with base R and survival.
#   Rscript quickstart/kaplan_meier_by_stage.R
library(survival)
patients <- read.csv("Data/sim_av_patient.csv", colClasses = "character")
tumours <- read.csv("Data/sim_av_tumour.csv", colClasses = "character")
tumours <- tumours[order(tumours$DIAGNOSISDATEBEST, tumours$TUMOURID), ]
first <- tumours[!duplicated(tumours$PATIENTID), c("PATIENTID", "DIAGNOSISDATEBEST", "STAGE_BEST")]
people <- merge(first, patients[, c("PATIENTID", "VITALSTATUS", "VITALSTATUSDATE")], by = "PATIENTID")
days <- as.numeric(as.Date(people$VITALSTATUSDATE) - as.Date(people$DIAGNOSISDATEBEST))
people$years <- pmax(days, 0) / 365.25
people$died <- substr(people$VITALSTATUS, 1, 1) == "D"
people$stage <- substr(people$STAGE_BEST, 1, 1)
curves <- survfit(Surv(years, died) ~ stage, data = people[people$stage %in% c("1", "2", "3", "4"), ])
print(summary(curves, times = c(1, 5), extend = TRUE))
