"""SQL views of a registry extract, for people who do not want to write the joins
(registry_tables.md 3.3). One text for DuckDB and SQLite: of dates only `julianday`, which is a
function of the one and a macro in the other's file.
"""

from __future__ import annotations

from pipeline.schema.values import Schema

V_SURVIVAL = """
    SELECT t.PATIENTID, t.TUMOURID, t.SITE_ICD10_O2_3CHAR, t.STAGE_BEST, t.AGE, p.GENDER,
           t.QUINTILE_2019, t.DIAGNOSISDATEBEST, p.VITALSTATUS, p.VITALSTATUSDATE,
           CAST(julianday(p.VITALSTATUSDATE) - julianday(t.DIAGNOSISDATEBEST) AS INTEGER)
               AS survival_days,
           p.VITALSTATUS LIKE 'D%' AS died
    FROM sim_av_tumour t JOIN sim_av_patient p USING (PATIENTID)
"""

# The windows in which a treatment counts are those of NDRS in outline: from 31 days before to 365
# days after diagnosis.
V_TREATMENT_FLAGS = """
    SELECT t.PATIENTID, t.TUMOURID, t.SITE_ICD10_O2_3CHAR, t.STAGE_BEST,
           coalesce(julianday(t.DATE_FIRST_SURGERY) - julianday(t.DIAGNOSISDATEBEST)
                    BETWEEN -31 AND 365, false) AS surgery,
           t.TUMOURID IN (
               SELECT d.TUMOURID FROM sim_av_tumour d
               JOIN sim_sact_regimen r ON r.ENCORE_PATIENT_ID = d.PATIENTID
               WHERE julianday(r.START_DATE_OF_REGIMEN) - julianday(d.DIAGNOSISDATEBEST)
                     BETWEEN -31 AND 365) AS sact,
           t.TUMOURID IN (
               SELECT d.TUMOURID FROM sim_av_tumour d
               JOIN sim_rtds_episode e ON e.PATIENTID = d.PATIENTID
               WHERE julianday(e.APPTDATE) - julianday(d.DIAGNOSISDATEBEST)
                     BETWEEN -31 AND 365) AS radiotherapy
    FROM sim_av_tumour t
"""

V_PATHWAY = """
    WITH log AS (
        SELECT PATIENTID, DIAGNOSISDATEBEST AS event_date, 'DIAGNOSIS' AS event_type,
               SITE_ICD10_O2_3CHAR AS event_code
                  FROM sim_av_tumour
        UNION ALL SELECT PATIENTID, DATE_FIRST_SURGERY, 'SURGERY', NULL
                  FROM sim_av_tumour WHERE DATE_FIRST_SURGERY IS NOT NULL
        UNION ALL SELECT PATIENTID, DATE_OVERALL_TS, 'GENE_TEST', GENE_DESC
                  FROM sim_av_gene WHERE DATE_OVERALL_TS IS NOT NULL
        UNION ALL SELECT ENCORE_PATIENT_ID, START_DATE_OF_REGIMEN, 'SACT_REGIMEN', BENCHMARK_GROUP
                  FROM sim_sact_regimen
        UNION ALL SELECT r.ENCORE_PATIENT_ID, c.START_DATE_OF_CYCLE, 'SACT_CYCLE',
                         CAST(c.CYCLE_NUMBER AS VARCHAR)
                  FROM sim_sact_cycle c JOIN sim_sact_regimen r USING (MERGED_REGIMEN_ID)
        UNION ALL SELECT PATIENTID, min(APPTDATE), 'RADIOTHERAPY', min(RADIOTHERAPYINTENT)
                  FROM sim_rtds_episode GROUP BY PATIENTID, RADIOTHERAPYEPISODEID
        UNION ALL SELECT PATIENTID, VITALSTATUSDATE,
                         CASE WHEN VITALSTATUS LIKE 'D%' THEN 'DEATH' ELSE 'CENSOR' END,
                         CASE WHEN VITALSTATUS LIKE 'D%' THEN DEATHCAUSECODE_UNDERLYING
                              ELSE VITALSTATUS END
                  FROM sim_av_patient
    ), first_tumour AS (
        SELECT PATIENTID, min(DIAGNOSISDATEBEST) AS first_diagnosis
        FROM sim_av_tumour GROUP BY PATIENTID
    )
    SELECT PATIENTID,
           row_number() OVER (
               PARTITION BY PATIENTID
               ORDER BY event_date, event_type IN ('DEATH', 'CENSOR'), event_type, event_code
           ) AS event_seq,
           event_type, event_code, event_date,
           CAST(julianday(event_date) - julianday(first_diagnosis) AS INTEGER)
               AS days_since_diagnosis
    FROM log JOIN first_tumour USING (PATIENTID)
"""


def views(schema: Schema) -> dict[str, str]:
    """View name -> query. Only the registry layout has the tables that they join."""
    if schema.layout != "registry":
        return {}
    return {
        "v_survival": V_SURVIVAL,
        "v_treatment_flags": V_TREATMENT_FLAGS,
        "v_pathway": V_PATHWAY,
    }
