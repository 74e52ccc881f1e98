-- Two tables of Simulacrum v1 that v2 does not have, as views on the tables of v2. Runs as it is in SQLite, DuckDB and
-- PostgreSQL, on a copy of extract.sqlite or extract.duckdb, so that the extract keeps its checksums.
--
-- Of the other tables, v1 and v2 share their names (SIM_AV_PATIENT, SIM_SACT_REGIMEN, ...), so no view can stand
-- beside them, v2 says GENDER for SEX and ENCORE_PATIENT_ID for MERGED_PATIENT_ID.

DROP VIEW IF EXISTS SIM_SACT_TUMOUR;
DROP VIEW IF EXISTS SIM_SACT_PATIENT;

-- Who has a drug regimen.
CREATE VIEW SIM_SACT_PATIENT AS
SELECT DISTINCT ENCORE_PATIENT_ID AS MERGED_PATIENT_ID,
       LINK_NUMBER
FROM sim_sact_regimen;

-- The tumour that such a patient was treated for: v2 does not say it, so this is the last one that was diagnosed by the
-- first day of drugs, where none was by then, the first one after it. One tumour per patient.
-- MERGED_TUMOUR_ID: in v1 a number of its own, here the registry's TUMOURID.
-- CONSULTANT_SPECIALITY_CODE: not in v2, always NULL.
-- PRIMARY_DIAGNOSIS, MORPHOLOGY_CLEAN: in v1 as the hospital wrote them at the start of the drugs, here as the
-- registry codes the tumour, the morphology has the behaviour as its fifth digit.
-- SIM_SACT_REGIMEN has no MERGED_TUMOUR_ID in v2: join it by patient,
-- SIM_SACT_REGIMEN.ENCORE_PATIENT_ID = SIM_SACT_TUMOUR.MERGED_PATIENT_ID.
CREATE VIEW SIM_SACT_TUMOUR AS
SELECT MERGED_TUMOUR_ID,
       MERGED_PATIENT_ID,
       CAST(NULL AS VARCHAR(10)) AS CONSULTANT_SPECIALITY_CODE,
       PRIMARY_DIAGNOSIS,
       MORPHOLOGY_CLEAN
FROM (
    SELECT t.TUMOURID AS MERGED_TUMOUR_ID,
           t.PATIENTID AS MERGED_PATIENT_ID,
           t.SITE_ICD10_O2 AS PRIMARY_DIAGNOSIS,
           t.MORPH_ICD10_O2 || t.BEHAVIOUR_ICD10_O2 AS MORPHOLOGY_CLEAN,
           row_number() OVER (
               PARTITION BY t.PATIENTID
               ORDER BY CASE WHEN t.DIAGNOSISDATEBEST <= s.first_day THEN 0 ELSE 1 END,
                        CASE WHEN t.DIAGNOSISDATEBEST <= s.first_day THEN t.DIAGNOSISDATEBEST END DESC,
                        t.DIAGNOSISDATEBEST,
                        t.TUMOURID
           ) AS place
    FROM sim_av_tumour t
    JOIN (SELECT ENCORE_PATIENT_ID, min(START_DATE_OF_REGIMEN) AS first_day
          FROM sim_sact_regimen GROUP BY ENCORE_PATIENT_ID) s ON s.ENCORE_PATIENT_ID = t.PATIENTID
) AS ranked
WHERE place = 1;
