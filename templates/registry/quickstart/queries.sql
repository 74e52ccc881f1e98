-- Three queries. They run as they are on extract/extract.sqlite and on extract/extract.duckdb.

-- 1. The ten sites with the most tumours, and how many of them have a stage
SELECT SITE_ICD10_O2_3CHAR AS site, count(*) AS tumours,
       sum(CASE WHEN STAGE_BEST NOT IN ('?', 'U', 'X') THEN 1 ELSE 0 END) AS staged
FROM sim_av_tumour
GROUP BY SITE_ICD10_O2_3CHAR
ORDER BY tumours DESC, site
LIMIT 10;

-- 2. What patients were treated with from a month before diagnosis to a year after it
SELECT surgery, sact, radiotherapy, count(*) AS tumours
FROM v_treatment_flags
GROUP BY surgery, sact, radiotherapy
ORDER BY tumours DESC, surgery, sact, radiotherapy;

-- 3. Drug regimens, and how many days from diagnosis to their start
SELECT r.BENCHMARK_GROUP AS regimen, count(*) AS regimens,
       round(avg(julianday(r.START_DATE_OF_REGIMEN) - julianday(d.first_diagnosis))) AS mean_days
FROM sim_sact_regimen r
JOIN (SELECT PATIENTID, min(DIAGNOSISDATEBEST) AS first_diagnosis
      FROM sim_av_tumour GROUP BY PATIENTID) d ON d.PATIENTID = r.ENCORE_PATIENT_ID
GROUP BY r.BENCHMARK_GROUP
ORDER BY regimens DESC, regimen
LIMIT 10;
